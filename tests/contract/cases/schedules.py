"""Schedules (contract A13, decisions A19)."""

from typing import Any, Final

from tests.conformance import test_verbs_schedules as known
from tests.conformance.bodies import ask, ok, refused
from tests.conformance.protocols import Json
from tests.contract.cases.lines import told
from tests.contract.cases.words import pull
from tests.contract.table import ANY, Ask, Case, Step, Was, held, http, line

YEARLY: Final = "0 0 1 1 *"
DAY_MS: Final = 86_400_000
NONE: Final = refused("SCHEDULE_NOT_FOUND", "Schedule not found: $none")


def schedule(**fields: Any) -> Json:
    """The schedule `$s` of jobs in `$q`."""
    return known.schedule(**{"name": "$s", "queue": "$q", "cron_expr": None, "every_ms": DAY_MS, **fields})


def create(**fields: Any) -> Ask:
    return ask("schedule_create", **{"name": "$s", "queue": "$q", "job_name": "n", "job_data": 1, **fields})


DIALECT: Final = tuple(
    enumerate(
        (
            *("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"),
            *("*/5 1-3 ? JAN-DEC SUN-SAT", "0 0 L * *", "0 0 * * 7", "0 0 15W * *", "0 0 * * 5#2", "0 0 13 * FRI"),
        )
    )
)

CASES: Final[dict[str, Case]] = {
    "a schedule's life": Case(
        "A4 schedule create, A4 schedule list, A4 schedule get, A4 schedule delete, A4 schedule pause and resume, "
        "A13 name, A13 queue job_name, A13 every_ms, A13 returned, A7 schedule_create, A7 schedule_list, "
        "A7 schedule_get, A7 schedule_delete pause resume, A31 schedule_api_tests",
        [
            Step(
                create(cron_expr=YEARLY),
                201,
                ok(schedule=schedule(cron_expr=YEARLY, every_ms=None)),
                Was("19", 201),
            ),
            Step(ask("schedule_pause", name="$s"), 200, ok(schedule=ANY)),
            Step(
                ask("schedule_get", name="$s"),
                200,
                ok(
                    schedule=schedule(
                        cron_expr=YEARLY, every_ms=None, paused=True, next_run_at=None, next_runs=[], revision=2
                    )
                ),
                Was("19", 200),
            ),
            Step(
                ask("schedule_list"),
                200,
                ok(
                    schedules=[
                        schedule(
                            cron_expr=YEARLY, every_ms=None, paused=True, next_run_at=None, next_runs=[], revision=2
                        )
                    ],
                    next_cursor=None,
                ),
                Was("19", 200),
            ),
            Step(ask("schedule_resume", name="$s"), 200, ok(schedule=ANY)),
            Step(ask("schedule_delete", name="$s"), 200, ok()),
            Step(ask("schedule_get", name="$s"), 404, refused("SCHEDULE_NOT_FOUND", "Schedule not found: $s")),
            Step(ask("schedule_delete", name="$s"), 200, ok()),
        ],
    ),
    "no such schedule": Case(
        "A4 schedule get, A4 schedule pause and resume",
        [
            Step(http("GET", "/schedules/$none"), 404, NONE),
            Step(line({"cmd": "schedule_get", "name": "$none"}), 0, refused("NOT_FOUND", "Schedule '$none' not found")),
            Step(http("POST", "/schedules/$none/pause"), 404, NONE),
            Step(line({"cmd": "schedule_resume", "name": "$none"}), 0, NONE),
        ],
    ),
    "an interval": Case(
        "A13 every_ms, A13 behaviour, A13 job_data, A13 max_executions, A31 schedule_api_tests",
        [
            Step(create(every_ms=100, job_data={"a": 1}, max_executions=2), 201, ok(schedule=ANY)),
            Step(pull(), 200, ok(job=held("#1", data={"a": 1})), until=True),
            Step(pull(), 200, ok(job=held("#2", "~2", data={"a": 1})), until=True),
            Step(
                ask("schedule_get", name="$s"),
                200,
                ok(
                    schedule=schedule(
                        every_ms=100,
                        job_data={"a": 1},
                        max_executions=2,
                        execution_count=2,
                        paused=True,
                        last_run_at="T",
                        last_job_id="#2",
                        next_run_at=None,
                        next_runs=[],
                        revision=ANY,
                    )
                ),
                Was("19", 200),
                until=True,
            ),
            Step(pull(), 200, ok(job=None)),
        ],
        whole="which of its runs are before the kill is a matter of time",
    ),
    "options of what a schedule pushes": Case(
        "A13 job_options",
        [
            Step(
                create(every_ms=DAY_MS, job_options={"priority": 3, "max_attempts": 9, "tags": ["t"]}),
                201,
                ok(schedule=ANY),
            ),
            Step(pull(), 200, ok(job=held("#1", priority=3, max_attempts=9, tags=["t"])), until=True),
            Step(ask("schedule_pause", name="$s"), 200, ok(schedule=ANY)),
        ],
    ),
    "data that is left out": Case(
        "A13 job_data",
        [
            Step(
                http("POST", "/schedules", {"name": "$a", "queue": "$q", "job_name": "n", "every_ms": DAY_MS}),
                201,
                ok(schedule=ANY),
            ),
            Step(http("GET", "/queues/$q/jobs"), 200, ok(job=held("#1", data=None)), until=True),
            Step(
                line({"cmd": "schedule_create", "name": "$b", "queue": "$q", "job_name": "n", "every_ms": DAY_MS}),
                0,
                ok(schedule=ANY),
            ),
            Step(http("GET", "/queues/$q/jobs"), 200, ok(job=held("#2", "~2", data={})), until=True),
        ],
    ),
    "schedules that cannot be": Case(
        "A13 cron_expr, A13 dialect, A31 schedule_api_tests",
        [
            Step(create(), 400, told("VALIDATION_ERROR", field="cron_expr")),
            Step(create(cron_expr=YEARLY, every_ms=5), 400, told("VALIDATION_ERROR", field="cron_expr")),
            Step(create(cron_expr="not a cron"), 400, told("VALIDATION_ERROR", field="cron_expr")),
            Step(create(cron_expr="61 * * * *"), 400, told("VALIDATION_ERROR", field="cron_expr")),
            Step(ask("schedule_get", name="$s"), 404, refused("SCHEDULE_NOT_FOUND", "Schedule not found: $s")),
        ],
    ),
    "expressions that can be": Case(
        "A13 dialect", [Step(create(name=f"$s{at}", cron_expr=text), 201, ok(schedule=ANY)) for at, text in DIALECT]
    ),
    "a zone": Case(
        "A13 timezone",
        [
            Step(
                create(cron_expr=YEARLY, timezone="Europe/Paris"),
                201,
                ok(schedule=schedule(cron_expr=YEARLY, every_ms=None, timezone="Europe/Paris")),
                Was("19", 201),
            ),
        ],
    ),
    "a name may be anything": Case(
        "A13 name",
        [
            Step(create(name="$a b/\u00fc", cron_expr=YEARLY), 201, ok(schedule=ANY)),
            Step(ask("schedule_delete", name="$a b/\u00fc"), 200, ok()),
        ],
        differs="8",
    ),
    "what decisions add to schedules": Case(
        "D 19, D area schedules webhooks",
        [
            Step(
                create(cron_expr="0 0 0 1 1 *", jitter_ms=5, missed="all", overlap="skip"),
                201,
                ok(
                    schedule=schedule(cron_expr="0 0 0 1 1 *", every_ms=None, jitter_ms=5, missed="all", overlap="skip")
                ),
            ),
            Step(
                ask("schedule_run", name="$s"),
                200,
                ok(
                    run={
                        "number": 1,
                        "scheduled_at": None,
                        "at": "T",
                        "outcome": "pushed",
                        "job_id": "#1",
                        "error": None,
                        "ticks": 1,
                    }
                ),
            ),
            Step(pull(), 200, ok(job=held("#1"))),
            Step(
                ask("schedule_runs", name="$s"),
                200,
                ok(
                    runs=[
                        {
                            "number": 1,
                            "scheduled_at": None,
                            "at": "T",
                            "outcome": "pushed",
                            "job_id": "#1",
                            "error": None,
                            "ticks": 1,
                        }
                    ],
                ),
            ),
            Step(create(cron_expr="R * * * *"), 400, told("VALIDATION_ERROR", field="cron_expr")),
            Step(create(cron_expr=YEARLY, timezone="Mars/North"), 400, told("VALIDATION_ERROR", field="timezone")),
        ],
        differs="19",
    ),
}
