"""Commands about jobs: push, pull, ack, fail, inspect, list, cancel and what an operator does to one job.

Each is a function from arguments and a client to what is shown; flags that have the name of a push option go into the
request under that name.
"""

import argparse
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Raw

from rustqueue.cli.output import Shown, as_json, count_of, shortened, table
from rustqueue.cli.parsing import Failed, Parser, UsageError, bounded, json_text, text_or_file
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.jobs import JobFilters, NewJob, PullOptions, PushOptions
from rustqueue.client.results import Job
from rustqueue.model import limits
from rustqueue.model.jobs import JobItem

PUSH_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "priority": {"type": bounded(limits.PRIORITY_MIN, limits.PRIORITY_MAX), "help": "higher first, else 0"},
    "delay_ms": {"type": bounded(0, limits.DURATION_MS_MAX), "help": "not before so many milliseconds from now"},
    "run_at": {"help": "not before this RFC 3339 time"},
    "max_attempts": {"type": bounded(0, limits.ATTEMPTS_MAX), "help": "tries in all, else 3"},
    "backoff": {"choices": ["fixed", "linear", "exponential", "decorrelated_jitter"], "help": "pause between tries"},
    "backoff_delay_ms": {"type": bounded(0, limits.DURATION_MS_MAX), "help": "its unit, else 1000"},
    "ttl_ms": {"type": bounded(0, limits.DURATION_MS_MAX), "help": "to the dead letters when not started in time"},
    "timeout_ms": {"type": bounded(0, limits.DURATION_MS_MAX), "help": "longest run of one try"},
    "unique_key": {"help": "refused while another unfinished job of the queue has it"},
    "custom_id": {"help": "an id of your own, used as custom:QUEUE:ID"},
    "flow_id": {"help": "group of jobs that are shown together"},
}


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    _declare_push(commands)
    _declare_pull(commands)
    _declare_ends(commands)
    _declare_list(commands)
    _declare_transaction(commands)
    parser = commands.add(
        "inspect",
        inspect,
        "show one job",
        "rustqueue inspect 0198f2c5-7d3e-7000-8000-000000000001",
        "rustqueue inspect custom:mail:welcome-17 --output json",
    )
    _id_argument(parser)
    parser = commands.add(
        "cancel",
        cancel,
        "cancel a job that does not run, or ask a running one to stop",
        "rustqueue cancel 0198f2c5-7d3e-7000-8000-000000000001",
        "rustqueue cancel 0198f2c5-7d3e-7000-8000-000000000001 --running",
    )
    _id_argument(parser)
    parser.add_argument("--running", action="store_true", help="also when a worker has it: it is told to stop")
    for name, run, summary in (
        ("retry", retry, "bring a job back from the dead letters, or a delayed retry forward"),
        ("promote", promote, "make a delayed job ready now"),
        ("remove", remove, "delete a job that does not run"),
    ):
        line = f"rustqueue {name} 0198f2c5-7d3e-7000-8000-000000000001"
        _id_argument(commands.add(name, run, summary, line))


def _declare_transaction(commands: Commands) -> None:
    line = """rustqueue tx '[{"cmd":"ack","id":"ID"},{"cmd":"push","queue":"mail","name":"next","data":{}}]'"""
    parser = commands.add("tx", transaction, "do several acks, fails, cancels and pushes, or none", line)
    parser.add_argument("operations", type=json_text, metavar="JSON", help="a list: JSON, @FILE, or -")


def transaction(arguments: argparse.Namespace, client: Client) -> Shown:
    operations = msgspec.json.decode(arguments.operations)
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise UsageError("operations must be a list of objects")
    results = client.transaction(operations)
    return Shown({"ok": True, "results": results}, f"{count_of(len(results), 'operation')} done")


def _id_argument(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="job id, or custom:QUEUE:ID")


def _declare_push(commands: Commands) -> None:
    parser = commands.add(
        "push",
        push,
        "store jobs",
        """rustqueue push --queue mail --name welcome --data '{"to":"ann@example.com"}'""",
        "rustqueue push --queue mail --name digest --data @digest.json --delay-ms 60000 --priority 5",
        "rustqueue push --queue mail --file jobs.jsonl    # one job object a line; - is standard input",
    )
    parser.add_argument("--queue", required=True)
    parser.add_argument("--name", help="what kind of job it is")
    parser.add_argument(
        "--data",
        type=json_text,
        default=Raw(b"{}"),
        metavar="JSON",
        help="payload: JSON, @FILE, or - for standard input; else {}",
    )
    parser.add_argument(
        "--file", type=file_text, metavar="FILE", help="push the job objects in a file, one on each line"
    )
    parser.add_argument("--idempotency-key", metavar="KEY", help="a repeat within ten minutes pushes nothing more")
    parser.add_argument("--depends-on", action="append", metavar="ID", help="wait for this job; may be repeated")
    parser.add_argument("--metadata", type=json_text, metavar="JSON", help="kept with the job, searchable by its keys")
    parser.add_argument("--tag", action="append", dest="tags", metavar="TAG", help="may be repeated")
    for name, keywords in PUSH_OPTIONS.items():
        if "choices" not in keywords:
            keywords = {"metavar": name.rpartition("_")[2].upper(), **keywords}
        parser.add_argument("--" + name.replace("_", "-"), **keywords)


def push(arguments: argparse.Namespace, client: Client) -> Shown:
    if arguments.file is not None:
        return _push_file(arguments, client)
    if arguments.name is None:
        raise UsageError("give --name, or --file with job objects")
    names = (*PUSH_OPTIONS, "depends_on", "tags", "metadata")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    job_id = client.push(
        arguments.queue,
        arguments.name,
        arguments.data,
        idempotency_key=arguments.idempotency_key,
        **cast(PushOptions, options),
    )
    return Shown({"ok": True, "id": job_id}, job_id)


def _push_file(arguments: argparse.Namespace, client: Client) -> Shown:
    """All jobs of a file in batches. A batch is all or nothing; the error of a later one says what is already there."""
    if arguments.name is not None:
        raise UsageError("give --name or --file: the jobs of a file have names of their own")
    ids: list[str] = []
    for batch in _batches_in(arguments.file):
        try:
            ids += client.push_batch(arguments.queue, batch)
        except Exception as error:
            if ids:
                error.add_note(f"{count_of(len(ids), 'job')} before it were pushed")
            raise
    return Shown({"ok": True, "ids": ids}, "\n".join(ids))


def file_text(path: str) -> str:
    """The text of a file, or of standard input for `-`. An argument type."""
    try:
        return text_or_file(path if path == "-" else f"@{path}")
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("@")) from None


def _batches_in(text: str) -> Iterator[list[NewJob]]:
    decode = msgspec.json.Decoder(JobItem).decode
    batch: list[NewJob] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            decode(line)
        except msgspec.MsgspecError as error:
            raise UsageError(f"line {number}: {error}") from None
        members = msgspec.json.decode(line)
        nested = members.pop("options", None) or {}
        batch.append(cast(NewJob, {"data": {}, **nested, **members}))
        if len(batch) == limits.BATCH_JOBS_MAX:
            yield batch
            batch = []
    if batch:
        yield batch


def _declare_pull(commands: Commands) -> None:
    parser = commands.add(
        "pull",
        pull,
        "lease jobs as a worker does",
        "rustqueue pull --queue mail",
        "rustqueue pull --queue mail --count 10 --wait-ms 5000 --output json",
    )
    parser.add_argument("--queue", required=True, action="append", help="may be repeated")
    parser.add_argument("--count", type=bounded(1, limits.PULL_COUNT_MAX), default=1, help="at most so many, else 1")
    parser.add_argument(
        "--wait-ms", type=bounded(0, limits.WAIT_MS_MAX), default=0, metavar="MS", help="wait for the first job"
    )
    parser.add_argument(
        "--lease-ms",
        type=bounded(limits.LEASE_MS_MIN, limits.LEASE_MS_MAX),
        metavar="MS",
        help="how long the jobs stay ours",
    )
    parser.add_argument("--worker-id", metavar="ID", help="who we are, shown with the jobs")
    parser.add_argument("--with-parent-results", action="store_true", help="bring the results of the jobs before it")


def pull(arguments: argparse.Namespace, client: Client) -> Shown:
    options: PullOptions = {"wait_ms": arguments.wait_ms, "with_parent_results": arguments.with_parent_results}
    if arguments.lease_ms is not None:
        options["lease_ms"] = arguments.lease_ms
    if arguments.worker_id is not None:
        options["worker_id"] = arguments.worker_id
    queues = arguments.queue[0] if len(arguments.queue) == 1 else arguments.queue
    jobs = client.pull(queues, arguments.count, **options)
    note = "" if jobs else f"no job is ready in {', '.join(arguments.queue)}"
    rows = [(job.id, job.name, job.attempt_token or "", shortened(_text(job.raw_data), 60)) for job in jobs]
    text = table(["ID", "Name", "Attempt token", "Data"], rows) if rows else ""
    return Shown({"ok": True, "jobs": jobs}, text, note)


def _text(raw: Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _declare_ends(commands: Commands) -> None:
    parser = commands.add(
        "ack",
        ack,
        "complete a pulled job",
        "rustqueue ack 0198f2c5-7d3e-7000-8000-000000000001",
        """rustqueue ack 0198f2c5-7d3e-7000-8000-000000000001 --attempt-token T --result '{"sent":true}'""",
    )
    _id_argument(parser)
    parser.add_argument(
        "--result", type=json_text, default=UNSET, metavar="JSON", help="JSON, @FILE, or - for standard input"
    )
    parser.add_argument("--attempt-token", metavar="T", help="the one that came with the pull")
    parser = commands.add(
        "fail",
        fail,
        "end a try of a pulled job with an error",
        "rustqueue fail 0198f2c5-7d3e-7000-8000-000000000001 --error 'mailbox full'",
    )
    _id_argument(parser)
    parser.add_argument("--error", default="unknown error", metavar="TEXT", help="why")
    parser.add_argument("--attempt-token", metavar="T", help="the one that came with the pull")


def ack(arguments: argparse.Namespace, client: Client) -> Shown:
    acked = client.ack(arguments.id, arguments.result, attempt_token=arguments.attempt_token)
    refused = {"follow_ups_refused": acked.follow_ups_refused} if acked.follow_ups_refused else {}
    return Shown({"ok": True, **refused}, f"{arguments.id} completed", "; ".join(acked.follow_ups_refused))


def fail(arguments: argparse.Namespace, client: Client) -> Shown:
    failed = client.fail(arguments.id, arguments.error, attempt_token=arguments.attempt_token)
    if not failed.will_retry:
        text = f"{arguments.id} is in the dead letters now"
    elif failed.next_attempt_at is None:
        text = f"{arguments.id} is ready again"
    else:
        text = f"{arguments.id} is tried again at {failed.next_attempt_at}"
    value = {"ok": True, "retry": failed.will_retry, "will_retry": failed.will_retry}
    return Shown({**value, "next_attempt_at": failed.next_attempt_at}, text)


def inspect(arguments: argparse.Namespace, client: Client) -> Shown:
    job = client.get(arguments.id)
    if job is None:
        raise Failed(f"JOB_NOT_FOUND: Job '{arguments.id}' not found")
    return Shown({"ok": True, "job": job}, as_json(job))


def cancel(arguments: argparse.Namespace, client: Client) -> Shown:
    status = client.cancel(arguments.id, running=arguments.running)
    text = "cancelled" if status == "cancelled" else "is asked to stop"
    return Shown({"ok": True, "status": status}, f"{arguments.id} {text}")


def retry(arguments: argparse.Namespace, client: Client) -> Shown:
    client.retry(arguments.id)
    return Shown({"ok": True}, f"{arguments.id} is tried again")


def promote(arguments: argparse.Namespace, client: Client) -> Shown:
    client.promote(arguments.id)
    return Shown({"ok": True}, f"{arguments.id} is ready")


def remove(arguments: argparse.Namespace, client: Client) -> Shown:
    client.remove(arguments.id)
    return Shown({"ok": True}, f"{arguments.id} removed")


def _declare_list(commands: Commands) -> None:
    parser = commands.add(
        "jobs",
        list_jobs,
        "list jobs, newest first",
        "rustqueue jobs --queue mail --state waiting",
        "rustqueue jobs --tag nightly --metadata customer=7 --limit 10 --output json",
    )
    parser.add_argument("--queue")
    parser.add_argument("--state", choices=["waiting", "delayed", "blocked", "active", "completed", "dlq", "cancelled"])
    parser.add_argument("--name")
    parser.add_argument("--tag")
    parser.add_argument("--flow-id", metavar="ID")
    parser.add_argument("--metadata", action="append", metavar="KEY=VALUE", help="a member of it; may be repeated")
    parser.add_argument("--created-after", metavar="TIME", help="only those pushed after this RFC 3339 time")
    parser.add_argument("--limit", type=bounded(1, limits.LIST_LIMIT_MAX), default=limits.LIST_LIMIT_DEFAULT)
    parser.add_argument("--cursor", help="where the page before ended")


def list_jobs(arguments: argparse.Namespace, client: Client) -> Shown:
    names = ("queue", "state", "name", "tag", "flow_id", "created_after", "limit", "cursor")
    filters = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    members = [member.partition("=") for member in arguments.metadata or ()]
    if any(not (key and sign) for key, sign, _ in members):
        raise UsageError("--metadata must be KEY=VALUE")
    if members:
        filters["metadata"] = {key: value for key, _, value in members}
    page = client.list_jobs(**cast(JobFilters, filters))
    note = f"more: --cursor {page.next_cursor}" if page.next_cursor else ""
    value = {"ok": True, "jobs": page.jobs, "next_cursor": page.next_cursor}
    return Shown(value, jobs_table(page.jobs), note)


def jobs_table(jobs: list[Job]) -> str:
    """One line a job."""
    rows = [(job.id, job.queue, job.name, job.state, job.attempt, shortened(job.last_error or "", 40)) for job in jobs]
    return table(["ID", "Queue", "Name", "State", "Attempt", "Last error"], rows) if rows else "no jobs"
