"""`rustqueue worker`: run jobs with the engines of a registry, in a process of its own."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping

from rustqueue.cli.parsing import (
    ADVICE,
    EXIT_FAILED,
    UsageError,
    add_connection,
    bounded,
    ca_file_of,
    token_of,
    url_of,
)
from rustqueue.cli.table import Commands
from rustqueue.client import RustQueueError
from rustqueue.client.process.app import AppError, load_registry
from rustqueue.client.process.run import (
    CONCURRENCY_DEFAULT,
    GRACE_S_DEFAULT,
    METRICS_HOST_DEFAULT,
    METRICS_PORT_DEFAULT,
    ProcessPlan,
    WorkerProcess,
)
from rustqueue.effects.logs import start_logging, stop_logging
from rustqueue.model import limits
from rustqueue.settings.second_system import LOG, LOG_FORMAT, level_of

_CONCURRENCY_MAX = 10_000
_GRACE_S_MAX = 86_400


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    parser = commands.add_local(
        "worker",
        worker,
        "run jobs with the engines of a registry, until SIGTERM",
        "rustqueue worker --app rustqueue.demo.simulator:registry",
        "rustqueue worker --app mail.engines:registry --queue mail --concurrency 8",
        "rustqueue worker --app mail.engines:registry --url tcp://queue:6789 --metrics 127.0.0.1:9091",
    )
    parser.add_argument("--app", required=True, metavar="MODULE:REGISTRY", help="a WorkerRegistry, or what makes one")
    parser.add_argument(
        "--queue",
        dest="queues",
        action="append",
        default=[],
        metavar="QUEUE",
        help="a queue to work on, may be given several times (else those that the registry routes)",
    )
    parser.add_argument(
        "--concurrency",
        type=bounded(1, _CONCURRENCY_MAX),
        metavar="N",
        help=f"jobs at once (or WORKER_CONCURRENCY, else {CONCURRENCY_DEFAULT})",
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="where metrics and probes are served, or `off` "
        f"(or WORKER_METRICS_BIND_ADDR, else {METRICS_HOST_DEFAULT}:{METRICS_PORT_DEFAULT})",
    )
    parser.add_argument(
        "--grace-s",
        type=bounded(0, _GRACE_S_MAX),
        metavar="S",
        help=f"how long jobs may go on after a signal (else {GRACE_S_DEFAULT:g})",
    )
    parser.add_argument(
        "--lease-ms",
        type=bounded(limits.LEASE_MS_MIN, limits.LEASE_MS_MAX),
        metavar="MS",
        help="how soon others get the jobs if this process dies (else the queue's or the node's)",
    )
    parser.add_argument("--worker-id", metavar="ID", help="name of this worker (else host, process and chance)")
    add_connection(parser)


def worker(arguments: argparse.Namespace) -> int:
    plan = plan_of(arguments, os.environ)
    try:
        process = WorkerProcess(plan, load_registry(arguments.app))
    except (AppError, ValueError) as error:
        raise UsageError(str(error)) from None
    level, form = level_of(os.environ.get(LOG, "")) or "info", os.environ.get(LOG_FORMAT, "pretty")
    handler = start_logging(level, "json" if form == "json" else "pretty", sys.stdout)
    log = logging.getLogger("rustqueue.worker")
    try:
        asyncio.run(process.run())
    except RustQueueError as error:
        advice = {"advice": ADVICE[error.code]} if error.code in ADVICE else {}
        log.error("worker cannot go on", extra={"code": error.code, "reason": error.message, **advice})
        return EXIT_FAILED
    except OSError as error:
        log.error("worker cannot serve its metrics", extra={"reason": str(error)})
        return EXIT_FAILED
    finally:
        stop_logging(handler)
    return 0


def plan_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> ProcessPlan:
    """Flags, then the second system's variables, then defaults."""
    host, port = _metrics_of(arguments.metrics or environment.get("WORKER_METRICS_BIND_ADDR") or "")
    return ProcessPlan(
        url=url_of(arguments, environment),
        token=token_of(arguments, environment),
        ca_file=ca_file_of(arguments, environment),
        timeout_s=getattr(arguments, "timeout_s", 30.0),
        queues=arguments.queues,
        concurrency=arguments.concurrency or _concurrency_of(environment.get("WORKER_CONCURRENCY", "")),
        lease_ms=arguments.lease_ms,
        worker_id=arguments.worker_id,
        grace_s=GRACE_S_DEFAULT if arguments.grace_s is None else arguments.grace_s,
        metrics_host=host,
        metrics_port=port,
    )


def _concurrency_of(text: str) -> int:
    """As the second system has it: what is no good number means the default."""
    return int(text) if text.isdecimal() and 1 <= int(text) <= _CONCURRENCY_MAX else CONCURRENCY_DEFAULT


def _metrics_of(text: str) -> tuple[str, int | None]:
    if not text:
        return METRICS_HOST_DEFAULT, METRICS_PORT_DEFAULT
    if text == "off":
        return METRICS_HOST_DEFAULT, None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--metrics or WORKER_METRICS_BIND_ADDR: {text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or METRICS_HOST_DEFAULT, int(port)
