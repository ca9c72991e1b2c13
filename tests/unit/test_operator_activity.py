"""What a status tells of runs and deliveries, and how seldom it changes."""

from typing import Any

import msgspec
import pytest

from rustqueue_operator.backend import record as record_of
from rustqueue_operator.kinds.status import ScheduleStatus, Status, WebhookStatus
from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.planning.activity import look_again_s, next_run_s, with_activity
from rustqueue_operator.planning.plan import plan, wanted_body
from rustqueue_operator.planning.values import Record
from tests.unit.operator_factories import NOW, desired, facts, record, spec_of

HOURLY: dict[str, Any] = {
    "cron_expr": "0 * * * *",
    "last_run_at": "2026-01-02T03:00:00.250Z",
    "next_run_at": "2026-01-02T04:00:00.000Z",
    "next_runs": ["2026-01-02T04:00:00.000Z", "2026-01-02T05:00:00.000Z"],
    "last_job_id": "0190-7",
    "execution_count": 41,
}
DELIVERED: dict[str, Any] = {
    "consecutive_failures": 0,
    "last_success_at": "2026-01-02T03:00:00.250Z",
    "last_failure_at": None,
}


def runs(**changes: Any) -> ScheduleStatus:
    return with_activity(ScheduleStatus(), {**HOURLY, **changes})


def deliveries(before: WebhookStatus, **changes: Any) -> WebhookStatus:
    return with_activity(before, {**DELIVERED, **changes})


def test_a_schedule_tells_its_last_run_and_its_next() -> None:
    told = runs()
    assert msgspec.to_builtins(told) == {
        "lastRunTime": "2026-01-02T03:00:00Z",
        "nextRunTime": "2026-01-02T04:00:00Z",
        "lastJobID": "0190-7",
        "runs": 41,
    }
    assert with_activity(told, HOURLY) == told


def test_a_paused_schedule_has_no_next_run() -> None:
    paused = runs(next_run_at=None, next_runs=[])
    assert (paused.last_run_time, paused.next_run_time, paused.runs) == ("2026-01-02T03:00:00Z", None, 41)


EVERY_TWENTY = [f"2026-01-02T04:00:{second:02}.000Z" for second in (0, 20, 40)]
JITTERED = ["2026-01-02T04:00:30.000Z", "2026-01-02T04:01:02.000Z"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cron_expr": None, "every_ms": 59_999}, False),
        ({"cron_expr": None, "every_ms": 60_000, "next_runs": JITTERED}, True),
        ({"cron_expr": "*/20 * * * * *", "next_runs": EVERY_TWENTY}, False),
        ({"cron_expr": "0 0 * * * *"}, True),
        ({"cron_expr": "* * * * *", "next_runs": JITTERED}, True),
    ],
)
def test_runs_less_than_a_minute_apart_are_not_told(changes: dict[str, Any], told: bool) -> None:
    assert (runs(**changes) == ScheduleStatus()) is not told


def test_a_webhook_tells_when_it_begins_and_ends_to_fail_and_when_its_times_are_old() -> None:
    # Given a webhook whose first delivery succeeded
    first = deliveries(WebhookStatus())
    assert msgspec.to_builtins(first) == {"lastSuccessTime": "2026-01-02T03:00:00Z", "consecutiveFailures": 0}
    # When more succeed within the hour, there is no news; after it, there is
    assert deliveries(first, last_success_at="2026-01-02T03:59:59.000Z") == first
    later = deliveries(first, last_success_at="2026-01-02T04:00:00.000Z")
    assert later.last_success_time == "2026-01-02T04:00:00Z"
    # And the first failure is news, the next ones are when there are ten times as many
    failed = {"last_failure_at": "2026-01-02T04:00:05.000Z"}
    failing = [deliveries(later, consecutive_failures=count, **failed).consecutive_failures for count in (1, 9, 10, 99)]
    assert failing == [1, 1, 10, 10]
    one = deliveries(later, consecutive_failures=1, **failed)
    assert (one.last_failure_time, deliveries(one, consecutive_failures=9, **failed)) == ("2026-01-02T04:00:05Z", one)
    # And that it succeeds again is
    assert deliveries(one, last_failure_at="2026-01-02T04:00:05.000Z").consecutive_failures == 0


def test_a_queue_tells_nothing_of_its_jobs() -> None:
    assert with_activity(Status(), {"depth": 7}) == Status()


def test_what_the_api_answers_is_where_the_status_comes_from() -> None:
    schedule = {"schedule": {**HOURLY, "queue": "mail", "job_name": "digest", "revision": 3}}
    webhook = {"webhook": {"url": "https://hooks.example.org", "revision": 3, "deliveries": DELIVERED}}
    assert with_activity(ScheduleStatus(), record_of("Schedule", schedule).activity) == runs()
    assert with_activity(WebhookStatus(), record_of("Webhook", webhook).activity) == deliveries(WebhookStatus())
    assert record_of("Queue", {"settings": {}}).activity == {}


def test_a_settled_schedule_is_looked_at_when_it_has_run() -> None:
    # Given a schedule that is as declared
    spec = spec_of("Schedule", queue="mail", cron="0 * * * *", jobTemplate={"name": "digest"})
    wanted = desired(spec, kind="Schedule", status=ScheduleStatus())
    first = plan(wanted, record(wanted_body(wanted), activity=HOURLY), facts())
    assert first.status is not None
    wanted = msgspec.structs.replace(wanted, status=first.status)
    # When it is looked at
    planned = plan(wanted, seen(wanted), facts())
    # Then its status has the runs, and the next look comes with the next run
    assert isinstance(planned.status, ScheduleStatus)
    assert (planned.status.runs, planned.again, planned.due_s) == (41, "drift", 3_355.0)


def seen(wanted: Any) -> Record:
    return record(KINDS["Schedule"].comparable(wanted.spec, "team"), activity=HOURLY)


def test_looks_at_runs_are_bounded() -> None:
    assert [look_again_s(300, due) for due in (None, 1_000, 100, 3, -5_000)] == [300, 300, 102, 30, 30]
    assert (next_run_s(Status(), NOW), next_run_s(ScheduleStatus(), NOW)) == (None, None)
    assert next_run_s(ScheduleStatus(next_run_time="2026-01-02T03:04:00Z"), NOW) == -5.0
