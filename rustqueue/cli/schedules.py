"""Commands about schedules."""

import argparse
from typing import Any, cast

import msgspec

from rustqueue.cli.output import Shown, as_text, table
from rustqueue.cli.parsing import UsageError, bounded, json_text
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.schedules import Schedule, ScheduleOptions, ScheduleRun
from rustqueue.model import limits


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.group(
        "schedules",
        "list schedules and change them",
        "rustqueue schedules list",
        'rustqueue schedules create nightly --queue reports --job-name sums --cron "0 3 * * *" --timezone Europe/Paris',
        "rustqueue schedules run nightly",
    )
    parser = group.add("list", list_schedules, "show all schedules", "rustqueue schedules list --output json")
    parser.add_argument("--limit", type=bounded(1, limits.LIST_LIMIT_MAX), default=limits.LIST_LIMIT_MAX, metavar="N")
    parser.add_argument("--cursor", help="where the page before ended")
    one = {
        "get": (get, "show a schedule and its next runs"),
        "delete": (delete, "delete a schedule and its history; its jobs stay"),
        "pause": (pause, "run a schedule no more"),
        "resume": (resume, "run a schedule again from now on"),
        "run": (run_now, "push the job of a schedule now"),
    }
    for name, (run, summary) in one.items():
        group.add(name, run, summary, f"rustqueue schedules {name} nightly").add_argument(
            "schedule", metavar="SCHEDULE"
        )
    parser = group.add(
        "runs", runs, "show what became of the latest runs", "rustqueue schedules runs nightly --limit 5"
    )
    parser.add_argument("schedule", metavar="SCHEDULE")
    parser.add_argument("--limit", type=bounded(1, limits.SCHEDULE_RUNS_MAX), default=50, metavar="N")
    _declare_create(group)


def _declare_create(group: Commands) -> None:
    parser = group.add(
        "create",
        create,
        "create or replace a schedule",
        'rustqueue schedules create nightly --queue reports --job-name sums --cron "0 3 * * *" --timezone Europe/Paris',
        "rustqueue schedules create beat --queue health --job-name ping --every-ms 15000 --missed skip",
    )
    parser.add_argument("schedule", metavar="SCHEDULE", nargs="?", help="its name")
    parser.add_argument("--name", metavar="SCHEDULE", help="its name, instead of the argument")
    parser.add_argument("--queue", required=True)
    parser.add_argument("--job-name", required=True, metavar="NAME", help="name of the jobs")
    parser.add_argument(
        "--data", type=json_text, default="{}", metavar="JSON", help="payload of the jobs: JSON, @FILE, or -; else {}"
    )
    parser.add_argument("--options", type=json_text, metavar="JSON", help="push options of the jobs")
    parser.add_argument(
        "--cron", dest="cron_expr", metavar="EXPR", help="five fields, six with seconds first, or @daily"
    )
    parser.add_argument("--every-ms", type=bounded(1, limits.DURATION_MS_MAX), metavar="MS", help="an interval instead")
    parser.add_argument("--timezone", metavar="ZONE", help="as Europe/Paris; without it UTC")
    parser.add_argument(
        "--jitter-ms", type=bounded(0, limits.SCHEDULE_JITTER_MS_MAX), metavar="MS", help="at most so late"
    )
    parser.add_argument("--missed", choices=["skip", "once", "all"], help="runs that nobody could start (else once)")
    parser.add_argument("--overlap", choices=["allow", "skip"], help="while the job before is not done (else allow)")
    parser.add_argument("--starts-at", metavar="TIME", help="no run before this RFC 3339 time")
    parser.add_argument("--ends-at", metavar="TIME", help="no run after this RFC 3339 time")
    parser.add_argument("--max-executions", type=bounded(0, limits.COUNT_MAX), metavar="N", help="then it is paused")
    parser.add_argument("--paused", action="store_const", const=True, help="create it paused")
    parser.add_argument("--reset", action="store_const", const=True, help="start the counters anew")


_PLAIN = (
    *("cron_expr", "every_ms", "timezone", "jitter_ms", "missed", "overlap", "starts_at", "ends_at"),
    *("max_executions", "paused", "reset"),
)


def create(arguments: argparse.Namespace, client: Client) -> Shown:
    if (arguments.schedule is None) == (arguments.name is None):
        raise UsageError("give the name of the schedule, as the argument or as --name")
    if (arguments.cron_expr is None) == (arguments.every_ms is None):
        raise UsageError("give either --cron or --every-ms")
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _PLAIN}
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.options is not None:
        options["job_options"] = msgspec.json.decode(arguments.options)
        if not isinstance(options["job_options"], dict):
            raise UsageError("--options must be a JSON object")
    name, data = arguments.schedule or arguments.name, msgspec.json.decode(arguments.data)
    made = client.create_schedule(name, arguments.queue, arguments.job_name, data, **cast(ScheduleOptions, options))
    return _one(made)


def list_schedules(arguments: argparse.Namespace, client: Client) -> Shown:
    page = client.list_schedules(limit=arguments.limit, cursor=arguments.cursor)
    headings = ["Schedule", "Queue", "Job", "When", "Next run", "Last run", "Runs", "State"]
    rows = [
        (s.name, s.queue, s.job_name, when(s), s.next_run_at or "", s.last_run_at or "", s.execution_count, _state(s))
        for s in page.schedules
    ]
    note = f"more: --cursor {page.next_cursor}" if page.next_cursor else ""
    value = {"ok": True, "schedules": page.schedules, "next_cursor": page.next_cursor}
    return Shown(value, table(headings, rows) if rows else "no schedules", note)


def when(schedule: Schedule) -> str:
    """`0 3 * * * (Europe/Paris)` or `every 15000 ms`."""
    if schedule.cron_expr is None:
        return f"every {schedule.every_ms} ms"
    return schedule.cron_expr + (f" ({schedule.timezone})" if schedule.timezone else "")


def _state(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    return "active" if schedule.next_run_at else "ended"


def _one(schedule: Schedule) -> Shown:
    shown = ("name", "queue", "job_name", "job_data", "job_options", "missed", "overlap", "max_executions")
    rows: list[tuple[str, str]] = [("state", _state(schedule)), ("when", when(schedule))]
    rows += [(name, as_text(value)) for name in shown if (value := getattr(schedule, name)) is not None]
    rows += [("runs", f"{schedule.execution_count:,}"), ("last run", schedule.last_run_at or "never")]
    rows += [("next run", at) for at in schedule.next_runs]
    width = max(len(name) for name, _ in rows)
    text = "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)
    return Shown({"ok": True, "schedule": schedule}, text)


def get(arguments: argparse.Namespace, client: Client) -> Shown:
    return _one(client.get_schedule(arguments.schedule))


def delete(arguments: argparse.Namespace, client: Client) -> Shown:
    client.delete_schedule(arguments.schedule)
    return Shown({"ok": True}, f"{arguments.schedule} is gone")


def pause(arguments: argparse.Namespace, client: Client) -> Shown:
    return _one(client.pause_schedule(arguments.schedule))


def resume(arguments: argparse.Namespace, client: Client) -> Shown:
    return _one(client.resume_schedule(arguments.schedule))


def run_now(arguments: argparse.Namespace, client: Client) -> Shown:
    run = client.run_schedule(arguments.schedule)
    return Shown({"ok": True, "run": run}, f"pushed job {run.job_id}")


def runs(arguments: argparse.Namespace, client: Client) -> Shown:
    found = client.schedule_runs(arguments.schedule, limit=arguments.limit)
    headings = ["Run", "Scheduled", "At", "Outcome", "Job or error"]
    rows = [(run.number, run.scheduled_at or "on demand", run.at, _outcome(run), _told(run)) for run in found]
    return Shown({"ok": True, "runs": found}, table(headings, rows) if rows else "no runs")


def _outcome(run: ScheduleRun) -> str:
    return run.outcome if run.ticks == 1 else f"{run.outcome} {run.ticks:,}"


def _told(run: ScheduleRun) -> str:
    return run.error or run.job_id or ""
