"""The surface that only we have (decisions C and D): the tables of the protocols' conformance, on a server that others
use too, and what they do not hold.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.conformance import (
    bodies,
    test_verbs_declared,
    test_verbs_insight,
    test_verbs_jobs,
    test_verbs_queues,
    test_verbs_schedules,
    test_verbs_tokens,
    test_verbs_webhooks,
)
from tests.conformance.bodies import Ask, ask, counts, ok, refused, stale, wrong_state
from tests.conformance.protocols import NOBODY, Json
from tests.contract.cases.lines import told
from tests.contract.cases.words import ALIVE, acked, died, get, nothing, pull, push, pushed, shown, started
from tests.contract.table import ANY, NUMBER, Case, Step, held, http, job, line

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AGAIN: Final = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
TRACE_SHOWN: Final = "00-0af7651916cd43dd8448eb211c80319c-~1-01"
"""The id of a span looks like what chance made, and stands as that in bodies."""
NAMES: Final = ("q", "a", "b", "none", "other", "new", "w", "s", "h", "f", "k", "next")
"""What the tables of conformance call their queues, workers, schedules, webhooks, flows and keys."""
_QUOTED: Final = re.compile(rf"'({'|'.join(NAMES)})'")
_AGES: Final = ("oldest_lease_age_ms", "oldest_age_ms")


def own(value: Any) -> Any:
    """The same with names that belong to the case. Ages are some number: nothing is instantaneous here."""
    if isinstance(value, str):
        return f"${value}" if value in NAMES else _QUOTED.sub(r"'$\1'", value)
    if isinstance(value, dict):
        return {key: NUMBER if key in _AGES else own(member) for key, member in value.items()}
    return [own(item) for item in value] if isinstance(value, list) else value


def from_table(rows: str, steps: Sequence[bodies.Step], differs: str, whole: str = "") -> Case:
    asked = [Step(Ask(verb, own(fields)), status, own(body)) for (verb, fields), status, body in steps]
    return Case(rows, asked, differs=differs, whole=whole)


TABLES: Final[Mapping[str, list[bodies.Step]]] = {
    **test_verbs_jobs.CASES,
    **test_verbs_queues.CASES,
    **test_verbs_declared.CASES,
    **test_verbs_insight.CASES,
    **test_verbs_tokens.CASES,
    **test_verbs_webhooks.CASES,
    **test_verbs_schedules.CASES,
}
ROWS_OF_TABLES: Final[Mapping[str, str]] = {
    "list jobs": "D area jobs, D name lists",
    "retry a dead job": "D area jobs, D area dlq",
    "promote": "D area jobs",
    "priority": "D area jobs",
    "remove": "D area jobs",
    "ack": "D name attempt token, D detail STALE_ATTEMPT",
    "ack as cancelled": "D name cancel of a running job, D 12",
    "ack batch": "D area jobs, D 3",
    "fail batch": "D 3",
    "fail and try again": "D 7, D name attempt token",
    "progress and heartbeat": "D name heartbeat reply, D name attempt token",
    "pull several queues": "D area pull",
    "pull with the results of parents": "D area pull, D area jobs, D detail with_parent_results",
    "settings of a queue": "D area queues, D name queue settings",
    "defaults of a queue": "D name queue settings",
    "a queue that is full": "D name queue settings",
    "drain": "D area queues, D name drain clean purge, D detail cascade",
    "clean": "D area queues, D name drain clean purge",
    "delete a queue": "D area queues",
    "dead letters": "D area dlq, D name dlq retry, D name drain clean purge",
    "dead letters by cause": "D area dlq, D name dlq retry",
    "flow": "D 4, D 13",
    "unique keys": "D 17, D detail custom_id in use",
    "a repeat": "D name idempotent writes",
    "several things or none": "D area transactions, D name transaction",
    "who declared a queue": "D area declarative owners, D area queues, D detail preconditions",
    "payloads with a schema": "D name queue settings",
    "limits of a queue": "D name queue settings",
    "why a job waits": "D area jobs, D name why",
    "the history of a job": "D area jobs, D name history",
    "the result of a job": "D area jobs, D detail result expired",
    "how many workers a queue needs": "D area scaling, D name scale",
    "sweeps": "D area bulk, D detail sweeps",
    "tokens": "D area auth, D detail tokens",
    "scopes that cannot be": "D area auth",
    "no such webhook": "D area schedules webhooks",
    "a declared schedule": "D area declarative owners, D area schedules webhooks",
    "a schedule by hand": "D area schedules webhooks, D detail schedules",
}
WHOLE: Final[Mapping[str, str]] = {
    "limits of a queue": "a rate's bucket is full again after a restart",
}
OPTIONS: Final[Json] = {
    "run_at": "2100-01-01T00:00:00Z",
    "group_id": "$g",
    "traceparent": "00-1",
    "max_backoff_ms": 50_000,
    "on_parent_failure": "ignore",
}
SHOWN: Final[Json] = {**{key: value for key, value in OPTIONS.items() if key != "run_at"}, "state": "delayed"}

CASES: Final[dict[str, Case]] = {
    **{
        f"table: {name}": from_table(rows, TABLES[name], rows.split(", ")[0].removeprefix("D "), WHOLE.get(name, ""))
        for name, rows in ROWS_OF_TABLES.items()
    },
    "options that only we have": Case(
        "D name push options, D 16",
        [
            pushed(**OPTIONS),
            shown(**SHOWN, delay_until="2100-01-01T00:00:00Z"),
            pushed("#2", ttl_ms=100, delay_ms=60_000),
            Step(
                get("#2"),
                200,
                ok(job=job("#2", ttl_ms=100, state="dlq", last_error="expired")),
                until=True,
            ),
        ],
        differs="name push options",
    ),
    "a trace that a header names": Case(
        "D name push options",
        [
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": 1}, traceparent=TRACE), 201, ok(id="#1")),
            shown(traceparent=TRACE_SHOWN),
            Step(
                http("POST", "/queues/$q/jobs", [{"name": "n", "data": 1, "traceparent": "00-1"}], traceparent=TRACE),
                201,
                ok(ids=["#2"]),
            ),
            shown("#2", traceparent="00-1"),
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": 1}, traceparent="00-1"), 201, ok(id="#3")),
            shown("#3"),
            Step(
                http("POST", "/queues/$q/jobs", {"name": "n", "data": 1}, Idempotency_Key="$k", traceparent=TRACE),
                201,
                ok(id="#4"),
            ),
            Step(
                http("POST", "/queues/$q/jobs", {"name": "n", "data": 1}, Idempotency_Key="$k", traceparent=AGAIN),
                201,
                ok(id="#4"),
            ),
        ],
        differs="name push options",
    ),
    "an own id": Case(
        "D 17",
        [
            pushed(custom_id="c"),
            Step(get("custom:$q:c"), 200, ok(job=job("#1", custom_id="c"))),
            started(custom_id="c"),
            acked("custom:$q:c"),
        ],
        differs="17",
    ),
    "receipts": Case(
        "D name receipt",
        [
            Step(push(receipt=True), 201, ok(id="#1", durability="fsync-majority", index=NUMBER, term=NUMBER)),
            Step(
                ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1}], receipt=True),
                201,
                ok(ids=["#2"], durability="fsync-majority", index=NUMBER, term=NUMBER),
            ),
        ],
        differs="name receipt",
    ),
    "lines that overtake": Case(
        "D name request_id",
        [
            Step(
                line({"cmd": "push", "queue": "$q", "name": "n", "data": 1, "request_id": 7}),
                0,
                ok(id="#1", request_id=7),
            ),
            Step(
                line({"cmd": "stats", "queue": "$q", "request_id": "x"}),
                0,
                ok(counts=counts(waiting=1), mode="normal", request_id="x"),
            ),
        ],
        differs="name request_id",
    ),
    "numbers have bounds": Case(
        "D 30",
        [
            Step(push(delay_ms=2**63), 400, told("VALIDATION_ERROR", field="delay_ms", limit=315_360_000_000)),
            Step(push(ttl_ms=-1), 400, told("VALIDATION_ERROR", field="ttl_ms", limit=0)),
            Step(pull(count=1_001), 400, told("VALIDATION_ERROR", field="count", limit=1_000)),
            pushed(delay_ms=0),
            started(),
        ],
        differs="30",
    ),
    "unknown keys": Case(
        "D 2, D detail values",
        [
            Step(push(colour=1), 400, told("VALIDATION_ERROR", field="colour")),
            nothing(),
        ],
        differs="2",
    ),
    "given twice": Case(
        "D 1",
        [
            Step(push(priority=1, options={"priority": 1}), 201, ok(id="#1")),
            Step(push(priority=1, options={"priority": 2}), 400, told("VALIDATION_ERROR", field="priority")),
        ],
        differs="1",
    ),
    "a pull that waits": Case(
        "D area pull",
        [
            Step(pull(wait_ms=50, worker_id="$w"), 200, ok(job=None)),
            pushed(),
            Step(pull(wait_ms=10_000, worker_id="$w", lease_ms=60_000), 200, ok(job=held("#1", worker_id="$w"))),
            Step(ask("heartbeat", id="#1", attempt_token="~1"), 200, ALIVE),
            Step(ask("heartbeat", id="#1", attempt_token="ab.9"), 409, stale("#1")),
        ],
        differs="area pull",
    ),
    "a worker that drains": Case(
        "D area workers, D detail workers",
        [
            pushed(),
            pushed("#2"),
            Step(pull(worker_id="$w"), 200, ok(job=held("#1", worker_id="$w"))),
            Step(
                ask("worker_list", limit=1_000),
                200,
                ok(
                    workers=[
                        {
                            "worker_id": "$w",
                            "queues": ["$q"],
                            "leases": 1,
                            "oldest_lease_age_ms": NUMBER,
                            "last_seen": "T",
                            "draining": False,
                        }
                    ],
                    next_cursor=None,
                ),
            ),
            Step(ask("worker_drain", worker_id="$w"), 200, ok()),
            Step(ask("heartbeat", id="#1"), 200, {**ALIVE, "drain": True}),
            Step(pull(worker_id="$w"), 200, ok(job=None)),
            acked(),
            Step(ask("worker_drain", worker_id="$w", drain=False), 200, ok()),
            Step(pull(worker_id="$w"), 200, ok(job=held("#2", "~2", worker_id="$w"))),
        ],
        differs="area workers",
    ),
    "a transaction that names later pushes": Case(
        "D 4, D name transaction",
        [
            Step(
                ask(
                    "tx",
                    operations=[
                        {"cmd": "push", "queue": "$q", "name": "n", "data": 1, "depends_on": [1]},
                        {"cmd": "push", "queue": "$q", "name": "n", "data": 1},
                    ],
                ),
                200,
                ok(results=[ok(id="#1"), ok(id="#2")]),
            ),
            started("#2"),
            nothing(),
            acked("#2"),
            started("#1", "~2", depends_on=["#2"]),
            Step(
                ask("tx", operations=[{"cmd": "cancel", "id": "#1"}]),
                409,
                {**wrong_state("active", "Waiting, Delayed, or Blocked"), "error": ANY},
            ),
            Step(
                ask("tx", operations=[{"cmd": "push", "queue": "$q", "name": "n"}, {"cmd": "ack", "id": NOBODY}]),
                409,
                refused("JOB_NOT_FOUND", f"Job '{NOBODY}' not found", operation=1),
            ),
            nothing(),
        ],
        differs="4",
    ),
    "how fresh a read is": Case(
        "D name consistency, D detail consistency",
        [
            pushed(),
            Step(http("GET", "/jobs/#1?consistency=linearizable"), 200, ok(job=job("#1"))),
            Step(http("GET", "/jobs/#1", X_RustQueue_Consistency="linearizable"), 200, ok(job=job("#1"))),
            Step(http("GET", "/queues/$q/jobs?count=0"), 200, ok(jobs=[])),
            Step(http("GET", "/jobs/#1?consistency=soon"), 400, ANY),
        ],
        differs="name consistency",
    ),
    "the result of a job that ends": Case(
        "D area jobs",
        [
            pushed(),
            started(),
            Step(
                ask("job_result", id="#1", wait_ms=20), 200, ok(id="#1", state="active", result=None, last_error=None)
            ),
            acked(result={"r": 1}),
            Step(
                ask("job_result", id="#1", wait_ms=10_000),
                200,
                ok(id="#1", state="completed", result={"r": 1}, last_error=None),
            ),
        ],
        differs="area jobs",
    ),
    "what a webhook is told": Case(
        "D area schedules webhooks, D 6",
        [
            Step(
                ask("webhook_put", name="$h", url="https://hooks.example/in", suspended=True, queues=["$q"]),
                201,
                ok(created=True, webhook=ANY),
            ),
            pushed("#2", max_attempts=1),
            started("#2", max_attempts=1),
            died("#2"),
            Step(
                ask("webhook_deliveries", name="$h", show="waiting"),
                200,
                ok(
                    deliveries=[
                        test_verbs_webhooks.delivery(id=f"#{number}", event=event, queue="$q", job_id="#2")
                        for number, event in enumerate(["job.pushed", "job.started", "job.failed", "job.dlq"], start=3)
                    ],
                    next_cursor=None,
                ),
            ),
        ],
        differs="6",
    ),
}
