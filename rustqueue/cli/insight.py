"""Commands that look into things: why, history, result, scaling, dead letters by cause, workers."""

import argparse

from rustqueue.cli.output import Shown, as_json, count_of, shortened, table
from rustqueue.cli.parsing import Parser, bounded
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.model import limits

_ID = "0198f2c5-7d3e-7000-8000-000000000001"


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    for name, run, summary in (
        ("why", why, "tell why a job is where it is"),
        ("history", history, "tell what happened to a job"),
    ):
        _id_argument(commands.add(name, run, summary, f"rustqueue {name} {_ID}"))
    parser = commands.add("result", result, "show the result of a job", f"rustqueue result {_ID} --wait-ms 60000")
    _id_argument(parser)
    parser.add_argument(
        "--wait-ms", type=bounded(0, limits.WAIT_MS_MAX), default=0, metavar="MS", help="until it has ended"
    )
    parser = commands.add(
        "scale", scale, "tell how many workers a queue needs", "rustqueue scale mail --per-worker 10 --max 50"
    )
    parser.add_argument("queue", metavar="QUEUE")
    count = bounded(0, limits.SCALE_JOBS_MAX)
    parser.add_argument(
        "--per-worker", type=bounded(1, limits.SCALE_JOBS_MAX), default=1, metavar="N", help="jobs each"
    )
    parser.add_argument("--min", type=count, default=0, metavar="N", help="at least so many workers")
    parser.add_argument("--max", type=count, default=limits.SCALE_JOBS_MAX, metavar="N", help="at most so many")
    parser.add_argument(
        "--due-within-ms", type=bounded(0, limits.SCALE_DUE_MS_MAX), default=0, metavar="MS", help="count delayed jobs"
    )
    group = commands.group("workers", "list workers, ask one to drain", "rustqueue workers list")
    parser = group.add("list", list_workers, "show the workers of the last hour", "rustqueue workers list")
    parser.add_argument("--limit", type=bounded(1, limits.LIST_LIMIT_MAX), default=limits.LIST_LIMIT_DEFAULT)
    parser.add_argument("--cursor", help="where the page before ended")
    parser = group.add("drain", drain, "let a worker finish and take nothing more", "rustqueue workers drain pod-7")
    parser.add_argument("worker_id", metavar="WORKER")
    parser.add_argument("--undo", action="store_true", help="let it take jobs again")


def add_dead_groups(group: Commands) -> None:
    """`rustqueue dlq groups`."""
    parser = group.add("groups", dead_groups, "show dead jobs by what killed them", "rustqueue dlq groups mail")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--cursor", help="where the page before ended")


def _id_argument(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="job id, or custom:QUEUE:ID")


def why(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.why(arguments.id)
    lines = [f"{told.state}: {reason.message} ({reason.code})" for reason in told.reasons]
    if told.position is not None:
        lines.append(f"place in the line: {told.position:,}")
    return Shown({"ok": True, **_fields(told)}, "\n".join(lines))


def history(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.history(arguments.id)
    rows = [
        (one.attempt, one.worker_id or "", one.started_at or "", one.outcome or "runs", shortened(one.error or "", 60))
        for one in told.attempts
    ]
    attempts = table(["Attempt", "Worker", "Started", "Outcome", "Error"], rows) + "\n\n" if rows else ""
    events = table(["At", "Event", "By"], [(event.at, event.event, event.actor) for event in told.events])
    return Shown({"ok": True, **_fields(told)}, attempts + events)


def result(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.result(arguments.id, wait_ms=arguments.wait_ms)
    value = {"ok": True, "id": told.id, "state": told.state, "result": told.result, "last_error": told.last_error}
    text = as_json(told.result) if told.state == "completed" else ""
    note = (
        ""
        if told.state == "completed"
        else f"the job is {told.state}" + (f": {told.last_error}" if told.last_error else "")
    )
    return Shown(value, text, note)


def scale(arguments: argparse.Namespace, client: Client) -> Shown:
    keys = ("per_worker", "min", "max", "due_within_ms")
    told = client.scale(arguments.queue, **{key: getattr(arguments, key) for key in keys})
    text = f"{count_of(told.desired, 'worker')}: {told.ready:,} ready, {told.running:,} running, {told.due:,} due soon"
    return Shown({"ok": True, **_fields(told)}, text)


def list_workers(arguments: argparse.Namespace, client: Client) -> Shown:
    page = client.workers(limit=arguments.limit, cursor=arguments.cursor)
    rows = [
        (one.worker_id, ", ".join(one.queues), one.leases, one.last_seen, "drains" if one.draining else "")
        for one in page.workers
    ]
    text = table(["Worker", "Queues", "Jobs", "Last seen", "State"], rows) if rows else "no workers"
    return Shown({"ok": True, **_fields(page)}, text, f"more: --cursor {page.next_cursor}" if page.next_cursor else "")


def drain(arguments: argparse.Namespace, client: Client) -> Shown:
    client.drain_worker(arguments.worker_id, drain=not arguments.undo)
    text = "takes jobs again" if arguments.undo else "takes no more jobs"
    return Shown({"ok": True}, f"{arguments.worker_id} {text}")


def dead_groups(arguments: argparse.Namespace, client: Client) -> Shown:
    page = client.dlq_groups(arguments.queue, cursor=arguments.cursor)
    rows = [(one.fingerprint, one.count, one.last_at, shortened(one.error, 60)) for one in page.groups]
    text = table(["Fingerprint", "Jobs", "Latest", "Error"], rows) if rows else "no dead jobs"
    return Shown({"ok": True, **_fields(page)}, text, f"more: --cursor {page.next_cursor}" if page.next_cursor else "")


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}  # type: ignore[attr-defined]
