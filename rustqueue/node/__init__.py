"""The node as a process: signals, exit codes, limits of the operating system.

It must not know how a node is made (`rustqueue.node.assembly`). Invariants: SIGTERM and SIGINT alike stop the node
within `limits.shutdown_s`, a second one at once; a fault of log or machine ends the process with `EXIT_FAULT` and one
line that says what happened and what to do.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, Final

import msgspec
import uvloop

import rustqueue
from rustqueue.effects.logs import start_logging, stop_logging
from rustqueue.effects.stalls import StackAlarm
from rustqueue.node.assembly import JOURNAL_FOLDER, STORE_FOLDER, Node, NodeError, running_node
from rustqueue.raft.local import ApplyFailed
from rustqueue.settings import Settings

__all__ = [
    "EXIT_CANNOT_START",
    "EXIT_CLEAN",
    "EXIT_FAULT",
    "EXIT_FORCED",
    "JOURNAL_FOLDER",
    "STORE_FOLDER",
    "Node",
    "NodeError",
    "run_node",
    "running_node",
]

log: Final = logging.getLogger(__name__)

EXIT_CLEAN: Final = 0
EXIT_FORCED: Final = 1  # A second signal, or a stop that did not end in time.
EXIT_CANNOT_START: Final = 1
EXIT_FAULT: Final = 70  # The log or the machine failed while serving; a supervisor may try again.

_FAULT_STOP_S: Final = 1.0
_LAST_RESORT_S: Final = 5.0  # Beyond the deadline, for what blocks the loop itself: a disk that hangs.
_GC_THRESHOLDS: Final = (50_000, 20, 50)
_OTHER_FILES: Final = 1_024  # Of the store, the log and the program; connections get the rest.


def run_node(settings: Settings) -> int:
    """Run a node until a signal or a fault ends it. Returns the exit code of the process."""
    # A log that nobody reads any more must not fill standard error with complaints about itself.
    logging.raiseExceptions = False
    handler = start_logging(settings.logging.level, settings.logging.format, sys.stdout)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(settings))
    finally:
        stop_logging(handler)


async def _run(settings: Settings) -> int:
    for note in settings.notes:
        log.warning("setting without effect", extra={"note": note})
    settings = _with_affordable_connections(settings)
    stop_asked = _on_signals()
    node = Node(settings)
    starting = asyncio.ensure_future(node.start())
    first: set[asyncio.Future[Any]] = {starting, stop_asked}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        return await _give_up_starting(starting, stop_asked.result(), settings.limits.shutdown_s)
    try:
        starting.result()
    except NodeError as error:
        log.error("cannot start", extra={"reason": str(error)})
        return EXIT_CANNOT_START
    _tune_garbage_collection()
    node.stalls.alarm = StackAlarm(sys.stderr)
    log.info(
        "ready",
        extra={
            "http_port": node.http.port,
            "tcp_port": node.tcp.port,
            **({} if node.jobs_http is None else {"jobs_port": node.jobs_http.port}),
            "host": settings.server.host,
            "data": node.folder,
            "version": rustqueue.__version__,
            "pid": os.getpid(),
        },
    )
    ends: set[asyncio.Future[Any]] = {stop_asked, node.fault}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if node.fault.done():
        return await _end_with_fault(node)
    log.info("stopping", extra={"signal": stop_asked.result(), "deadline_s": settings.limits.shutdown_s})
    _exit_after(settings.limits.shutdown_s + _LAST_RESORT_S, EXIT_FORCED)
    if not await node.stop(settings.limits.shutdown_s):
        log.error("stop did not end in time", extra={"deadline_s": settings.limits.shutdown_s})
        return EXIT_FORCED
    log.info("stopped", extra={"applied_index": node.machine.applied_index})
    return EXIT_CLEAN


async def _give_up_starting(starting: "asyncio.Future[None]", signal_name: str, deadline_s: float) -> int:
    """A member waits for its cluster as long as it takes; whoever stops it meanwhile does not."""
    log.info("stopping", extra={"signal": signal_name, "deadline_s": deadline_s})
    _exit_after(deadline_s + _LAST_RESORT_S, EXIT_FORCED)
    starting.cancel()
    try:
        await starting
    except asyncio.CancelledError:
        log.info("stopped before it was ready")
    except NodeError as error:
        log.error("cannot start", extra={"reason": str(error)})
        return EXIT_CANNOT_START
    return EXIT_CLEAN


async def _end_with_fault(node: Node) -> int:
    error = node.fault.result()
    advice = (
        "the entry stays in the log; report it with the output of `rustqueue check`"
        if isinstance(error, ApplyFailed)
        else "see to the disk, then start the node again; nothing acknowledged is lost"
    )
    log.critical(
        "node failed",
        exc_info=error,
        extra={
            "reason": f"{type(error).__name__}: {error}",
            "data": node.folder,
            "durable_index": node.journal.durable_index,
            "applied_index": node.replicator.applied_index,
            "advice": advice,
        },
    )
    _exit_after(_LAST_RESORT_S, EXIT_FAULT)
    with suppress(Exception):
        # Whatever else breaks on the way out, the exit code tells the fault that came first.
        await node.stop(_FAULT_STOP_S)
    return EXIT_FAULT


def _on_signals() -> "asyncio.Future[str]":
    """Resolved by the first SIGTERM or SIGINT; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[str] = loop.create_future()

    def on_signal(name: str) -> None:
        if asked.done():
            os._exit(EXIT_FORCED)
        asked.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    return asked


def _exit_after(deadline_s: float, code: int) -> None:
    """The last resort: a thread that does not need the loop."""
    timer = threading.Timer(deadline_s, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _tune_garbage_collection() -> None:
    """What exists after the start lives as long as the node, and what a request makes dies by reference counts."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _with_affordable_connections(settings: Settings) -> Settings:
    """Raise the limit of open files as far as allowed, and bound the connections of both protocols by what is left.

    Without the bound the store or the log would one day find no descriptor, and the node would stop. TCP gets more than
    half, because idle workers sit there, and because HTTP makes room by closing the connection that rested longest.
    """
    limits = settings.limits
    wanted = limits.http_connections_max + limits.tcp_connections_max + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return settings
    room = max(2, allowed - min(_OTHER_FILES, allowed // 2))
    tcp_max = min(limits.tcp_connections_max, max(room * 5 // 9, room - limits.http_connections_max))
    http_max = min(limits.http_connections_max, room - tcp_max)
    fields = {"open_files": allowed, "tcp_connections_max": tcp_max, "http_connections_max": http_max}
    log.info("fewer connections than set, for want of open files", extra=fields)
    limits = msgspec.structs.replace(limits, tcp_connections_max=tcp_max, http_connections_max=http_max)
    return msgspec.structs.replace(settings, limits=limits)
