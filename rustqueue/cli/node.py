"""Commands that run something here: serve, demo, bench, check. Each imports what it needs when it is asked for, so that
a bare installation can still be a client and say which extra is missing.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from rustqueue.cli.config import declare_settings, loaded
from rustqueue.cli.output import as_json
from rustqueue.cli.parsing import (
    EXIT_FAILED,
    EXIT_USAGE,
    add_connection,
    bounded,
    ca_file_of,
    reach,
    token_of,
    url_of,
)
from rustqueue.cli.table import Commands

BENCH_URL_DEFAULT = "tcp://127.0.0.1:6789"


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    _declare_serve(commands)
    parser = commands.add_local(
        "demo",
        demo,
        "run real jobs through a durable node or cluster, kill it in the middle, show that nothing was lost",
        "rustqueue demo",
        "rustqueue demo --keep          # leave the node up and try the curl lines that it prints",
        "rustqueue demo --workers 4 --limit 500",
        "rustqueue demo --nodes 3       # a cluster, and its leader is killed",
    )
    parser.add_argument(
        "--nodes", type=int, choices=[1, 3, 5], default=1, help="else 1; several make a cluster whose leader is killed"
    )
    parser.add_argument("--keep", action="store_true", help="leave the node and its data for you to look at")
    parser.add_argument("--workers", type=bounded(1, 64), default=2, metavar="N", help="worker processes, else 2")
    parser.add_argument("--limit", type=bounded(1, 1_000_000), metavar="N", help="only the first N files")
    _declare_bench(commands)
    parser = commands.add_local(
        "check",
        check,
        "say whether the data folder of a node that does not run is sound, or a history of calls on a queue",
        "rustqueue check ./data",
        "rustqueue check /var/lib/rustqueue --output json",
        "rustqueue check history.jsonl      # what clients saw under faults, as tests write it",
    )
    parser.add_argument("path", metavar="DIR|HISTORY", type=Path)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="form of the answer (else text)")


def _declare_serve(commands: Commands) -> None:
    parser = commands.add_local(
        "serve",
        serve,
        "run a node",
        "rustqueue serve --data ./data",
        "rustqueue serve --config rustqueue.toml --http-port 8790",
        "rustqueue serve --auth-enabled true --auth-tokens '[\"secret\"]'",
        "RUSTQUEUE_STORAGE__PATH=/data rustqueue serve",
    )
    parser.usage = (
        "rustqueue serve [-c FILE] [--http-port PORT] [--tcp-port PORT] [--data DIR] [--SECTION-KEY VALUE]..."
    )
    declare_settings(parser)


def serve(arguments: argparse.Namespace) -> int:
    settings = loaded(arguments).settings
    try:
        from rustqueue.node import run_node
    except ModuleNotFoundError as error:
        return missing_extra(error)
    return run_node(settings)


def missing_extra(error: ModuleNotFoundError) -> int:
    """Say what to install when a server dependency is not there; any other missing module is a bug of ours."""
    if error.name is None or error.name.partition(".")[0] == "rustqueue":
        raise error
    print(
        f"rustqueue: this needs the server ({error.name} is not installed): pip install 'rustqueue[server]'",
        file=sys.stderr,
    )
    return EXIT_USAGE


def demo(arguments: argparse.Namespace) -> int:
    try:
        # The demo runs the server as a child; asking here gives one clear line instead of a child's log.
        import rustqueue.node  # noqa: F401
    except ModuleNotFoundError as error:
        return missing_extra(error)
    from rustqueue.demo.play import Plan, play

    # Whoever stops the demo stops its children too: SIGTERM unwinds it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(nodes=arguments.nodes, workers=arguments.workers, limit=arguments.limit, keep=arguments.keep)
    return play(plan, sys.stdout)


def _declare_bench(commands: Commands) -> None:
    parser = commands.add_local(
        "bench",
        bench,
        "put a short load on a running node and measure it",
        "rustqueue bench",
        "rustqueue bench --jobs 50000 --batch 100 --connections 4",
        "rustqueue bench --url http://127.0.0.1:6790 --batch 1 --output json",
    )
    parser.add_argument("--jobs", type=bounded(1, 10_000_000), default=20_000, metavar="N", help="else 20000")
    parser.add_argument("--batch", type=bounded(1, 1_000), default=50, metavar="N", help="jobs a call, else 50")
    parser.add_argument("--connections", type=bounded(1, 256), default=4, metavar="N", help="else 4")
    parser.add_argument("--payload-bytes", type=bounded(2, 1_000_000), default=150, metavar="N", help="else 150")
    parser.add_argument("--queue", default="rustqueue-bench", help="queue to use; it is emptied at the end")
    add_connection(parser)


def bench(arguments: argparse.Namespace) -> int:
    from rustqueue.bench import Load, measure, table_of

    given = any(hasattr(arguments, name) for name in ("url", "host", "http_port"))
    environment = os.environ if given or "RUSTQUEUE_URL" in os.environ else {"RUSTQUEUE_URL": BENCH_URL_DEFAULT}
    load = Load(
        jobs=arguments.jobs,
        batch=arguments.batch,
        connections=arguments.connections,
        payload_bytes=arguments.payload_bytes,
        queue=arguments.queue,
        ca_file=ca_file_of(arguments, os.environ),
    )
    url = url_of(arguments, environment)
    reach(url, load.ca_file)
    result = measure(url, token_of(arguments, os.environ), load)
    print(as_json(result) if getattr(arguments, "output", "text") == "json" else table_of(result))
    return 0


def check(arguments: argparse.Namespace) -> int:
    try:
        from rustqueue.check import check_folder, text_of
    except ModuleNotFoundError as error:
        return missing_extra(error)
    if arguments.path.is_file():
        return _check_history(arguments.path, arguments.output)
    report = check_folder(arguments.path)
    print(as_json(report) if arguments.output == "json" else text_of(report))
    return 0 if report.sound else EXIT_FAILED


def _check_history(path: Path, form: str) -> int:
    from rustqueue.history.report import HistoryError, check_history, text_of

    try:
        report = check_history(path)
    except HistoryError as error:
        print(f"rustqueue: {path}: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(as_json(report) if form == "json" else text_of(report))
    return 0 if report.sound else EXIT_FAILED
