"""The command line: `python -m benchmarks [--peers] [--case NAME] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from benchmarks import machine, report
from benchmarks.context import Context, say
from benchmarks.load import LoadFailed
from benchmarks.processes import StartFailed
from benchmarks.results import CaseResult
from benchmarks.servers import Starter
from benchmarks.table import CASES, Case

EXAMPLES = """\
examples:
  python -m benchmarks                              every case, the node alone and beside its yardstick
  python -m benchmarks --peers --json figures.json  with every peer that is installed here
  python -m benchmarks --case tcp --case verbs --quick
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures one durable node with default settings. docs/benchmarks.md explains each case.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--peers", action="store_true", help="measure the installed peers in the same run")
    parser.add_argument("--quick", action="store_true", help="two small repeats: shows that it works, proves nothing")
    parser.add_argument("--huge", action="store_true", help="also 10 million waiting jobs (some GB of disk)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats whose median counts (default 5)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the JSON goes")
    parser.add_argument("--scratch", type=Path, help="folder for the servers' data (default: the temporary folder)")
    parser.add_argument("--checkout", action="store_true", help="run the checkout instead of a freshly built wheel")
    parser.add_argument("--quiet-wait", type=float, default=0.0, metavar="S", help="wait so long for a quiet machine")
    return parser.parse_args()


def _run_case(context: Context, case: Case) -> CaseResult:
    say(f"{case.name}: {case.about}")
    result, started_s = CaseResult(case.name, case.about), time.monotonic()
    try:
        case.run(context, result)
    except (LoadFailed, StartFailed, OSError) as error:
        # A case that fails must not take the others' figures with it; it is told apart by the exit status.
        result.failure = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
    result.seconds = time.monotonic() - started_s
    result.load_average = os.getloadavg()
    return result


def _terminate(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def main() -> int:
    options = _arguments()
    # So that a terminated run still stops the servers that it started.
    signal.signal(signal.SIGTERM, _terminate)
    scratch = Path(tempfile.mkdtemp(prefix="rustqueue-bench-", dir=options.scratch))
    try:
        starter = Starter(scratch, options.checkout)
        repeats = 2 if options.quick else options.repeats
        context = Context(starter, options.peers, options.quick, options.huge, repeats, options.quiet_wait)
        document: dict[str, object] = {
            "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": sys.argv[1:],
            "installed_from": starter.installed_from,
            "machine": machine.describe(scratch),
        }
        say(json.dumps(document, indent=2))
        results: list[CaseResult] = []
        for case in CASES:
            if case.name in (options.case or []) or not (options.case or case.asked):
                results.append(_run_case(context, case))
                print(report.table(results[-1]), flush=True)
                # Written after each case: an interrupted run keeps what it has measured.
                document["cases"] = [report.as_json(result) for result in results]
                options.json.write_text(json.dumps(document, indent=2) + "\n")
        print(report.summary(results))
        return 1 if any(result.failure for result in results) else 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
