"""The cluster beside a prototype of its log with a machine that can do little: what the price of being complete is.

The prototype is no part of this project: whoever has it names its program. That is called `PROGRAM FOLDER NUMBER BASE`
once for each of three nodes, listens for members at BASE + NUMBER and for clients at BASE + 10 + NUMBER, understands
the three batch verbs of the line protocol, and leaves a file `leader` in the folder of the node that has come to lead.
Nothing else of it is known here. Both clusters run at once and are asked in turn, in the same repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import clusters, machine, report
from benchmarks.cases.cluster import JOBS, NODE
from benchmarks.cases.tcp import phases
from benchmarks.context import Context, say
from benchmarks.load import LoadFailed
from benchmarks.processes import Process, StartFailed, accepts, spawn
from benchmarks.results import CaseResult
from benchmarks.servers import Server, Starter
from benchmarks.systems import LineSystem
from rustqueue.demo.ports import free_port

PROTOTYPE = "prototype"
KEPT_OF_PROTOTYPE = 0.6
NODES = 3
CLIENTS_AT = 10
START_TIMEOUT_S = 60.0
_BESIDE = (*range(1, NODES), *range(CLIENTS_AT, CLIENTS_AT + NODES))


@contextlib.contextmanager
def running(starter: Starter, program: Path) -> Iterator[Server]:
    """Three nodes of the prototype; clients speak to the one that leads."""
    folder, base = starter.fresh_folder(PROTOTYPE), free_port(*_BESIDE)
    data = [folder / f"d{number}" for number in range(NODES)]
    started: list[Process] = []
    try:
        for number in range(NODES):
            command: list[str | Path] = [sys.executable, program.resolve(), data[number], str(number), str(base)]
            # The wheel under test is nothing that the prototype shall import.
            started.append(spawn(command, folder / f"w{number}", {"PYTHONPATH": ""}))
        for number, process in enumerate(started):
            port = base + CLIENTS_AT + number
            process.wait_until(lambda port=port: accepts(port), START_TIMEOUT_S)  # type: ignore[misc] # The loop's own.
        started[0].wait_until(lambda: bool(_leaders(data)), START_TIMEOUT_S)
        led_by = _leaders(data)[0]
        yield Server(PROTOTYPE, base + CLIENTS_AT + led_by, 0, tuple(process.pid for process in started))
        if _leaders(data) != [led_by]:
            raise LoadFailed("the prototype's leader changed during the run: its figures are worth nothing")
    finally:
        for process in started:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _leaders(data: list[Path]) -> list[int]:
    return [number for number, folder in enumerate(data) if (folder / "leader").exists()]


def run(context: Context, result: CaseResult, program: Path) -> None:
    """Push, pull + ack and end to end at all widths, on queues of their own, and what is kept of the prototype."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(clusters.running(context.starter))
        leader = ours.leader()
        theirs = stack.enter_context(running(context.starter, program))
        systems = [LineSystem(ours.through(leader, NODE)), LineSystem(theirs)]
        for repeat in range(context.repeats):
            for connections, full in JOBS.items():
                for system in systems if repeat % 2 == 0 else systems[::-1]:
                    context.rest([each.server for each in systems])
                    phases(context, result, system, str(repeat), (connections, context.jobs(full)))
        if ours.leader() is not leader:
            result.notes.append("the leader changed during the run: some figures are of forwarded commands")
    for connections in JOBS:
        for what in ("push", "pull+ack", "end to end"):
            ratio = result.ratio(f"{what} x{connections}", NODE, PROTOTYPE)
            result.require(f"{what} x{connections}: node / prototype", ratio, "at least", KEPT_OF_PROTOTYPE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prototype", description=__doc__)
    parser.add_argument("program", type=Path, help="the prototype's program")
    parser.add_argument("--repeats", type=int, default=3, help="repeats whose median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help="one small repeat: shows that it works, proves nothing")
    parser.add_argument("--checkout", action="store_true", help="run the checkout instead of a freshly built wheel")
    parser.add_argument("--scratch", type=Path, help="folder for the servers' data (default: the temporary folder)")
    parser.add_argument("--json", type=Path, default=Path("prototype.json"), help="where the JSON goes")
    parser.add_argument("--quiet-wait", type=float, default=0.0, metavar="S", help="wait so long for a quiet machine")
    options = parser.parse_args()
    if not options.program.is_file():
        parser.error(f"{options.program} is no file")
    result = CaseResult(PROTOTYPE, "three nodes beside a prototype of the same log, batches of 50 over TCP")
    scratch, started_s = Path(tempfile.mkdtemp(prefix="rustqueue-prototype-", dir=options.scratch)), time.monotonic()
    document: dict[str, object] = {
        "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(scratch),
    }
    try:
        repeats = 1 if options.quick else options.repeats
        starter = Starter(scratch, options.checkout)
        run(Context(starter, False, options.quick, False, repeats, options.quiet_wait), result, options.program)
    except (LoadFailed, StartFailed, OSError) as error:
        result.failure = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result.seconds, result.load_average = time.monotonic() - started_s, os.getloadavg()
    print(report.table(result), flush=True)
    options.json.write_text(json.dumps({**document, "cases": [report.as_json(result)]}, indent=2) + "\n")
    say(f"wrote {options.json}")
    return 1 if result.failure else 0


if __name__ == "__main__":
    sys.exit(main())
