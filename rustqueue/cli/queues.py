"""Commands about queues, dead letters and the node's figures."""

import argparse
from typing import Any, cast

import msgspec

from rustqueue.cli import insight
from rustqueue.cli.jobs import jobs_table
from rustqueue.cli.output import Shown, as_json, count_of, table
from rustqueue.cli.parsing import Parser, UsageError, bounded, json_text
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.queues import QueueOptions, Redrive
from rustqueue.client.results import Bulk, QueueSummary
from rustqueue.model import limits
from rustqueue.model.jobs import Counts

_HEADINGS = ("Waiting", "Active", "Delayed", "Blocked", "Completed", "DLQ")
STATES = ("waiting", "active", "delayed", "blocked", "completed", "dlq")


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    commands.add("status", status, "show the queues of a node", "rustqueue status", "rustqueue status --host db1")
    parser = commands.add(
        "stats", stats, "show the figures of the node, or of one queue", "rustqueue stats", "rustqueue stats mail"
    )
    parser.add_argument("queue", nargs="?", metavar="QUEUE")
    _declare_queues(commands)
    _declare_dlq(commands)


def status(arguments: argparse.Namespace, client: Client) -> Shown:
    """The table of the original, in its columns."""
    queues = client.queues()
    headings = ["Queue", "Waiting", "Active", "Delayed", "Done", "Failed", "DLQ"]
    rows = [(q.name, *(getattr(q.counts, key) for key in _ORIGINAL_COLUMNS)) for q in queues]
    return Shown({"ok": True, "queues": queues}, table(headings, rows) if rows else "No queues found.")


_ORIGINAL_COLUMNS = ("waiting", "active", "delayed", "completed", "failed", "dlq")


def stats(arguments: argparse.Namespace, client: Client) -> Shown:
    if arguments.queue is not None:
        return _queue_stats(arguments, client)
    health, queues = client.health(), client.queues()
    totals = {state: sum(getattr(queue.counts, state) for queue in queues) for state in STATES}
    rows = [("status", health.status), ("version", health.version), ("up", f"{health.uptime_seconds} s")]
    rows += [("role", health.role), ("applied index", f"{health.applied:,}"), ("queues", f"{len(queues):,}")]
    rows += [(f"{state} jobs", f"{count:,}") for state, count in totals.items()]
    width = max(len(name) for name, _ in rows)
    text = "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)
    return Shown({"ok": True, "health": health, "queues": len(queues), "totals": totals}, text)


def _queue_stats(arguments: argparse.Namespace, client: Client) -> Shown:
    found = client.stats(arguments.queue)
    rows = [(state, getattr(found.counts, state)) for state in STATES]
    text = table(["State", "Jobs"], rows)
    mode = "" if found.mode == "normal" else f"\nThe queue is paused (mode {found.mode})."
    return Shown({"ok": True, "counts": found.counts, "mode": found.mode}, text + mode)


def _declare_queues(commands: Commands) -> None:
    group = commands.group(
        "queues",
        "list queues and change them",
        "rustqueue queues list",
        "rustqueue queues pause mail --mode hold",
        """rustqueue queues settings mail --set '{"limits":{"max_waiting":10000}}'""",
    )
    group.add("list", list_queues, "show all queues", "rustqueue queues list --output json")
    one = {
        "stats": (_queue_stats, "show the jobs of a queue by state"),
        "resume": (resume, "end a pause"),
        "drain": (drain, "remove all waiting and delayed jobs"),
    }
    for name, (run, summary) in one.items():
        group.add(name, run, summary, f"rustqueue queues {name} mail").add_argument("queue", metavar="QUEUE")
    parser = group.add(
        "pause", pause, "stop a queue", "rustqueue queues pause mail", "rustqueue queues pause mail --mode hold"
    )
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "--mode",
        choices=["reject", "hold", "both"],
        default="reject",
        help="reject refuses pushes (default), hold hands nothing out, both does both",
    )
    parser = group.add(
        "settings",
        settings,
        "show or replace the settings of a queue",
        "rustqueue queues settings mail",
        """rustqueue queues settings mail --set '{"lease_ms":60000,"defaults":{"max_attempts":5}}'""",
    )
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "--set", type=json_text, metavar="JSON", help="all settings anew: JSON, @FILE, or - for standard input"
    )
    _add_conditions(parser)
    parser = group.add(
        "clean",
        clean,
        "remove finished jobs of one state, oldest first",
        "rustqueue queues clean mail --state completed --older-than-ms 86400000",
    )
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--state", choices=["completed", "dlq", "cancelled"], required=True)
    parser.add_argument("--older-than-ms", type=bounded(0, limits.DURATION_MS_MAX), default=0, metavar="MS")
    parser.add_argument("--limit", type=bounded(0, limits.COUNT_MAX), metavar="N", help="at most so many")
    parser = group.add("delete", delete, "delete a queue", "rustqueue queues delete mail --force")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--force", action="store_true", help="with the jobs that are in it")
    _add_conditions(parser)


def _add_conditions(parser: Parser) -> None:
    parser.add_argument(
        "--if-match", type=bounded(0, limits.COUNT_MAX), metavar="N", help="only if it has this revision (0: none yet)"
    )
    parser.add_argument("--if-owner", metavar="UID", help="only if it belongs to this owner")


def list_queues(arguments: argparse.Namespace, client: Client) -> Shown:
    queues = client.queues()
    return Shown({"ok": True, "queues": queues}, queues_table(queues))


def queues_table(queues: list[QueueSummary]) -> str:
    rows = [(queue.name, *_counts(queue.counts), queue.mode) for queue in queues]
    return table(["Queue", *_HEADINGS, "Mode"], rows) if rows else "no queues"


def _counts(counts: Counts) -> list[int]:
    return [getattr(counts, state) for state in STATES]


def pause(arguments: argparse.Namespace, client: Client) -> Shown:
    client.pause(arguments.queue, arguments.mode)
    effect = {
        "reject": "pushes are refused",
        "hold": "nothing is handed out",
        "both": "pushes are refused, nothing is handed out",
    }
    return Shown({"ok": True}, f"{arguments.queue} is paused: {effect[arguments.mode]}")


def resume(arguments: argparse.Namespace, client: Client) -> Shown:
    client.resume(arguments.queue)
    return Shown({"ok": True}, f"{arguments.queue} runs again")


def drain(arguments: argparse.Namespace, client: Client) -> Shown:
    return _bulk(client.drain(arguments.queue), "removed")


def clean(arguments: argparse.Namespace, client: Client) -> Shown:
    done = client.clean(arguments.queue, arguments.state, older_than_ms=arguments.older_than_ms, limit=arguments.limit)
    return _bulk(done, "removed")


def delete(arguments: argparse.Namespace, client: Client) -> Shown:
    done = client.delete_queue(
        arguments.queue, force=arguments.force, if_match=arguments.if_match, if_owner=arguments.if_owner
    )
    return _bulk(done, "removed with the queue")


def settings(arguments: argparse.Namespace, client: Client) -> Shown:
    if arguments.set is None:
        found = client.get_queue(arguments.queue)
    else:
        wanted = msgspec.json.decode(arguments.set)
        if not isinstance(wanted, dict):
            raise UsageError("--set must be a JSON object")
        for name in ("if_match", "if_owner"):
            if getattr(arguments, name) is not None:
                wanted[name] = getattr(arguments, name)
        found = client.put_queue(arguments.queue, **cast(QueueOptions, wanted))
    return Shown({"ok": True, **msgspec.structs.asdict(found)}, as_json(found.settings))


def _bulk(done: Bulk, verb: str) -> Shown:
    value = {"ok": True, "matched": done.matched, "moved": done.moved, "sweep": done.sweep}
    rest = f"the sweep {done.sweep} goes on with the rest" if done.sweep else ""
    return Shown(value, f"{count_of(done.moved, 'job')} of {done.matched:,} {verb}", rest)


def _declare_dlq(commands: Commands) -> None:
    group = commands.group(
        "dlq",
        "look at dead letters, bring them back, delete them",
        "rustqueue dlq list mail",
        "rustqueue dlq retry mail --error-contains timeout --limit 100",
        "rustqueue dlq purge mail",
    )
    parser = group.add("list", dlq_list, "show dead jobs, latest first", "rustqueue dlq list mail --limit 10")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--limit", type=bounded(1, limits.DLQ_LIST_MAX), default=50, metavar="N")
    parser.add_argument("--cursor", help="where the page before ended")
    parser = group.add("retry", dlq_retry, "bring dead jobs back", "rustqueue dlq retry mail --name welcome --dry-run")
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("--fingerprint", metavar="F", help="only jobs of this group of `dlq groups`")
    parser.add_argument("--name", help="only jobs of this name")
    parser.add_argument("--error-contains", metavar="TEXT", help="only jobs whose last error has this in it")
    parser.add_argument("--before", metavar="TIME", help="only those dead before this RFC 3339 time")
    parser.add_argument("--after", metavar="TIME", help="only those dead after this RFC 3339 time")
    parser.add_argument("--limit", type=bounded(0, limits.COUNT_MAX), metavar="N", help="at most so many")
    parser.add_argument("--rate-per-s", type=bounded(1, 1_000_000), metavar="N", help="spread over time")
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    insight.add_dead_groups(group)
    parser = group.add("purge", dlq_purge, "delete all dead jobs of a queue", "rustqueue dlq purge mail")
    parser.add_argument("queue", metavar="QUEUE")


def dlq_list(arguments: argparse.Namespace, client: Client) -> Shown:
    page = client.dlq(arguments.queue, limit=arguments.limit, cursor=arguments.cursor)
    note = f"more: --cursor {page.next_cursor}" if page.next_cursor else ""
    return Shown({"ok": True, "jobs": page.jobs, "next_cursor": page.next_cursor}, jobs_table(page.jobs), note)


def dlq_retry(arguments: argparse.Namespace, client: Client) -> Shown:
    parts = ("fingerprint", "name", "error_contains", "before", "after")
    wanted = {part: getattr(arguments, part) for part in parts if getattr(arguments, part) is not None}
    redrive: dict[str, Any] = {"dry_run": arguments.dry_run, **({"filter": wanted} if wanted else {})}
    redrive |= {key: getattr(arguments, key) for key in ("limit", "rate_per_s") if getattr(arguments, key) is not None}
    done = client.retry_dlq(arguments.queue, **cast(Redrive, redrive))
    return _bulk(done, "would be brought back" if arguments.dry_run else "brought back")


def dlq_purge(arguments: argparse.Namespace, client: Client) -> Shown:
    return _bulk(client.purge_dlq(arguments.queue), "deleted")
