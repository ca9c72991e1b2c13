"""The program: finds the command, runs it, prints its answer or its error. The only place that prints or exits.

`ask` commands are given a client; `run` commands do everything themselves. Knows the exit codes and what an error
looks like: one line on standard error.
"""

import argparse
import os
import sys

from rustqueue import __version__
from rustqueue.cli import cluster, config, events, insight, jobs, node, queues, schedules, tokens, webhooks, worker
from rustqueue.cli.output import Shown, as_json
from rustqueue.cli.parsing import (
    ADVICE,
    EXIT_FAILED,
    EXIT_NO_CONNECTION,
    EXIT_USAGE,
    Failed,
    Parser,
    UsageError,
    ca_file_of,
    examples,
    reach,
    token_of,
    url_of,
)
from rustqueue.cli.rescue import backups, folders
from rustqueue.cli.table import Commands
from rustqueue.client import Client, RustQueueError
from rustqueue.client.errors import NetworkError
from rustqueue.reasons import reason_of

TIMEOUT_S_DEFAULT = 30.0
EXIT_INTERRUPTED = 130


def build_parser() -> Parser:
    """All commands with their flags."""
    parser = Parser(
        prog="rustqueue",
        description="A durable job queue: its server, and a client for the command line.",
        epilog=examples(
            "rustqueue demo                                   # see it work, and survive a kill",
            "rustqueue serve --data ./data                    # HTTP on 6790, TCP on 6789",
            'rustqueue push --queue mail --name welcome --data \'{"to":"ann@example.com"}\'',
            "rustqueue pull --queue mail",
            "rustqueue status",
        )
        + "\n\nexit codes: 0 success, 1 refused or failed, 2 wrong use, 3 no connection to the node",
    )
    parser.add_argument("--version", action="version", version=f"rustqueue {__version__}")
    commands = Commands(parser)
    node.add(commands)
    worker.add(commands)
    config.add(commands)
    jobs.add(commands)
    queues.add(commands)
    insight.add(commands)
    tokens.add(commands)
    cluster.add(commands)
    backups.add(commands)
    folders.add(commands)
    events.add(commands)
    schedules.add(commands)
    webhooks.add(commands)
    return parser


def run(words: list[str]) -> int:
    """Run one command line and give its exit code."""
    parser = build_parser()
    try:
        parser.refuse_early_flags(words)
        arguments, unknown = parser.parse_known_args(words)
        if unknown:
            arguments.parser.refuse_words(unknown)
        return _answer(arguments) if hasattr(arguments, "ask") else int(arguments.run(arguments))
    except SystemExit as end:
        # argparse ends the process for --help, --version and wrong words; here that is an answer like any other.
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    except UsageError as error:
        return _complain(str(error), EXIT_USAGE)
    except Failed as error:
        return _complain(str(error), EXIT_FAILED)
    except NetworkError as error:
        return _complain(error.message, EXIT_NO_CONNECTION)
    except RustQueueError as error:
        text = f"{error.code}: {error.message.removeprefix('Validation error: ')}"
        advice = [ADVICE[error.code]] if error.code in ADVICE else []
        return _complain("; ".join([text, *getattr(error, "__notes__", []), *advice]), EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`rustqueue jobs | head`): nothing is left to be said, also at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        return _complain(reason_of(error), EXIT_FAILED)


def _answer(arguments: argparse.Namespace) -> int:
    url, token, ca_file = (
        url_of(arguments, os.environ),
        token_of(arguments, os.environ),
        ca_file_of(arguments, os.environ),
    )
    timeout_s = getattr(arguments, "timeout_s", TIMEOUT_S_DEFAULT)
    reach(url, ca_file)
    with Client(url, token=token, timeout_s=timeout_s, ca_file=ca_file) as client:
        shown: Shown = arguments.ask(arguments, client)
    if getattr(arguments, "output", "text") == "json":
        print(as_json(shown.value))
    elif shown.text:
        print(shown.text)
    sys.stdout.flush()
    if shown.note:
        print(shown.note, file=sys.stderr)
    return 0


def _complain(text: str, code: int) -> int:
    print("rustqueue: " + " ".join(text.split()), file=sys.stderr)
    return code
