"""The verbs about schedules as the clients ask them: rows of the table in `test_client_calls`."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

from rustqueue.client.call import Call
from rustqueue.client.calls import schedules
from rustqueue.model import schedules as model
from rustqueue.model.jobs import JobOptions, Owner

_AT = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
_AT_TEXT = "2026-05-01T12:30:00+00:00"
_MADE: dict[str, Any] = {"name": "a b", "queue": "q", "job_name": "n"}
_BODY: dict[str, Any] = {
    "queue": "q",
    "job_name": "n",
    "jitter_ms": 0,
    "missed": "once",
    "overlap": "allow",
    "reset": False,
}

SCHEDULE_CALLS: list[tuple[str, Call[Any], object, str, Any]] = [
    (
        "create_schedule",
        schedules.create_schedule("a b", "q", "n", 1, every_ms=5, starts_at=_AT, job_options={"run_at": _AT}),
        model.ScheduleCreate(
            **_MADE, job_data=Raw(b"1"), every_ms=5, starts_at=_AT_TEXT, job_options=JobOptions(run_at=_AT_TEXT)
        ),
        "POST /schedules",
        {
            **_BODY,
            "name": "a b",
            "job_data": 1,
            "every_ms": 5,
            "starts_at": _AT_TEXT,
            "job_options": {"run_at": _AT_TEXT},
        },
    ),
    (
        "put_schedule",
        schedules.put_schedule("a b", "q", "n", cron_expr="@daily", timezone="UTC", owner={"uid": "u"}, labels={}),
        model.SchedulePut(
            **_MADE, job_data=Raw(b"null"), cron_expr="@daily", timezone="UTC", owner=Owner("u"), labels={}
        ),
        "PUT /schedules/a%20b",
        {
            **_BODY,
            "job_data": None,
            "cron_expr": "@daily",
            "timezone": "UTC",
            "owner": {"uid": "u", "ref": ""},
            "labels": {},
        },
    ),
    ("get_schedule", schedules.get_schedule("a"), model.ScheduleGet(name="a"), "GET /schedules/a", None),
    (
        "list_schedules",
        schedules.list_schedules(limit=5, cursor="a"),
        model.ScheduleList(limit=5, cursor="a"),
        "GET /schedules?cursor=a&limit=5",
        None,
    ),
    ("delete_schedule", schedules.delete_schedule("a"), model.ScheduleDelete(name="a"), "DELETE /schedules/a", None),
    ("pause_schedule", schedules.pause_schedule("a"), model.SchedulePause(name="a"), "POST /schedules/a/pause", None),
    ("resume", schedules.resume_schedule("a"), model.ScheduleResume(name="a"), "POST /schedules/a/resume", None),
    ("run_schedule", schedules.run_schedule("a"), model.ScheduleRun(name="a"), "POST /schedules/a/run", None),
    (
        "schedule_runs",
        schedules.schedule_runs("a", limit=5),
        model.ScheduleRuns(name="a", limit=5),
        "GET /schedules/a/runs?limit=5",
        None,
    ),
]
