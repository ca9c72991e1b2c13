"""`python -m rustqueue_operator run|crds`: the operator, and the CRDs that it needs."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from rustqueue_operator.crds import render
from rustqueue_operator.kube.access import AccessError, find_access
from rustqueue_operator.kube.lease import identity_of
from rustqueue_operator.settings import Settings

_STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def main() -> int:
    """The exit code is 0 after a signal, 1 when leadership or the watch was lost, 2 for wrong use."""
    arguments = _parser().parse_args()
    return int(arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rustqueue-operator", description="Queues, schedules, webhooks by kubectl.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="be the operator")
    run.add_argument("--namespaces", default="", help="serve these only, separated by commas; all if left out")
    run.add_argument("--default-cluster", metavar="NAMESPACE/NAME", help="for objects without clusterRef")
    run.add_argument("--http-host", default=Settings().http_host, help="address of probes and metrics")
    run.add_argument("--http-port", type=int, default=Settings().http_port, help="0 takes a free one")
    run.add_argument("--drift-seconds", type=_seconds, default=Settings().drift_s, help="between checks for drift")
    run.add_argument(
        "--cluster-seconds", type=_seconds, default=Settings().clusters_s, help="between two readings of the clusters"
    )
    run.add_argument(
        "--deletion-deadline-seconds",
        type=_seconds,
        default=Settings().deletion_deadline_s,
        help="how long a deleted object waits for a cluster that does not answer",
    )
    run.add_argument("--protect-busy-workers", action="store_true", help="set pod-deletion-cost of worker pods")
    run.add_argument("--lease-name", default=Settings().lease_name)
    run.set_defaults(run=_run)
    crds = commands.add_parser("crds", help="write the CRDs")
    crds.add_argument("folder", type=Path)
    crds.add_argument("--chart", action="store_true", help="as templates of the chart")
    crds.set_defaults(run=_crds)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("has to be between 1 and 86400")
    return value


def _crds(arguments: argparse.Namespace) -> int:
    render.write(arguments.folder, render.chart_files() if arguments.chart else render.files())
    return 0


def _run(arguments: argparse.Namespace) -> int:
    # Only here: writing CRDs needs neither kopf nor aiohttp.
    from rustqueue_operator.main import Operator

    logging.basicConfig(level=logging.INFO, handlers=[_handler()])
    logging.getLogger("kopf").setLevel(logging.WARNING)
    settings = Settings(
        namespaces=tuple(part.strip() for part in arguments.namespaces.split(",") if part.strip()),
        default_cluster=arguments.default_cluster,
        http_host=arguments.http_host,
        http_port=arguments.http_port,
        drift_s=arguments.drift_seconds,
        clusters_s=arguments.cluster_seconds,
        deletion_deadline_s=arguments.deletion_deadline_seconds,
        protect_busy_workers=arguments.protect_busy_workers,
        lease_name=arguments.lease_name,
        identity=identity_of(
            os.environ.get("POD_NAME") or os.uname().nodename, os.environ.get("POD_UID") or None, os.getpid()
        ),
    )
    try:
        access = find_access(dict(os.environ))
    except AccessError as error:
        sys.stderr.write(f"rustqueue-operator: {error}\n")
        return 2

    async def work() -> int:
        stop = asyncio.Event()

        def take_signals() -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)

        take_signals()
        return await Operator(access, settings, take_signals).run(stop)

    return asyncio.run(work())


class _Lines(logging.Formatter):
    """One JSON object a line: a constant message and the data in fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    return handler


if __name__ == "__main__":
    sys.exit(main())
