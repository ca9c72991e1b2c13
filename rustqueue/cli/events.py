"""`rustqueue events`: what happens, line by line, until Ctrl-C."""

import argparse
import os

import msgspec

from rustqueue.cli.parsing import UsageError, add_connection, bounded, ca_file_of, reach, token_of, url_of
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.stream.session import StreamEvent
from rustqueue.model.events import Cursor, event_named


def add(commands: Commands) -> None:
    """Declare the command of this module."""
    parser = commands.add_local(
        "events",
        events,
        "show what happens to jobs and queues, as it happens",
        "rustqueue events",
        "rustqueue events --queues mail,reports.* --events job.failed,job.dlq",
        "rustqueue events --count 1 --job-id 01a20287-0144-7000-885c-9ef3fab31132",
        "rustqueue events --after 1234-0 --output json   # one JSON object a line",
    )
    parser.add_argument("--events", type=_names, default=(), metavar="NAMES", help="as job.completed,job.failed")
    parser.add_argument("--queues", type=_words, default=(), metavar="QUEUES", help="as mail,reports.*")
    parser.add_argument("--job-id", metavar="ID", help="of one job only")
    parser.add_argument("--after", type=_cursor, metavar="CURSOR", help="go on behind an event seen before")
    parser.add_argument("--count", type=bounded(1, 10**12), metavar="N", help="end after N events")
    add_connection(parser)


def events(arguments: argparse.Namespace) -> int:
    url, as_json = url_of(arguments, os.environ), getattr(arguments, "output", "text") == "json"
    ca_file = ca_file_of(arguments, os.environ)
    reach(url, ca_file)
    with Client(url, token=token_of(arguments, os.environ), ca_file=ca_file) as client:
        try:
            told = client.subscribe(
                events=arguments.events, queues=arguments.queues, job_id=arguments.job_id, after=arguments.after
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        for number, event in enumerate(told, 1):
            print(_json(event) if as_json else _line(event), flush=True)
            if number == arguments.count:
                break
    return 0


def _json(event: StreamEvent) -> str:
    given = {key: value for key, value in msgspec.structs.asdict(event).items() if value not in (None, "")}
    return msgspec.json.encode(given).decode()


def _line(event: StreamEvent) -> str:
    if event.event == "stream.gap":
        count = "some events" if event.missed is None else f"{event.missed:,} events"
        return f"-- {count} were missed here --"
    more = ""
    if event.progress is not None:
        more = f"  {event.progress}%"
    elif event.will_retry is not None:
        more = "  will be retried" if event.will_retry else "  no try is left"
    return f"{event.timestamp:24}  {event.event:13}  {event.queue}  {event.job_id or ''}{more}".rstrip()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _names(text: str) -> tuple[str, ...]:
    unknown = [word for word in _words(text) if event_named(word) is None]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no event {unknown[0]!r}")
    return _words(text)


def _cursor(text: str) -> str:
    if Cursor.parse(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no cursor: INDEX or INDEX-ORDINAL")
    return text
