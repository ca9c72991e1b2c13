"""`python -m tests.chaos.cluster`: a real cluster of three processes under load suffers faults; every acknowledged
command is checked.

    --kills N        so many SIGKILLs, of one node, two or all at a time (40)
    --partitions N   so many partitions of all shapes (8)
    --cuts N         so many power cuts (8)
    --others N       so many of each other fault: pause, stop, full disk, sync errors, slow disk, clock step (3)
    --seconds S      about so long a fault lasts (1.0)
    --seed K         what happens, and what clients do (1)
    --minutes M      begin no fault later than that; what was asked for and not played is said
    --record         append each round to docs/evidence/chaos.jsonl
    --resume         leave out what that file already has for this code
    --keep DIR       where data, logs and histories go, kept when a problem is found
    --lie            the judge on trial: all disks lie about syncs, so that power cuts must be seen to lose something
    --proxies        links through proxies on loopback, also where namespaces would work

Ends with one line, `N kills, N power cuts, N partitions, 0 lost, 0 duplicated`, and 0; with 1 after any problem.
"""

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from rustqueue.history.figures import FaultFigures
from rustqueue.history.report import table_of
from rustqueue.history.verdict import Problem
from tests.chaos.cluster.faults import OTHERS, Kind
from tests.chaos.cluster.network import Namespaces, Network, Proxies, namespaces_work
from tests.chaos.cluster.play import NODES, Round
from tests.chaos.cluster.shim import ShimError, compile_shim
from tests.chaos.evidence import record, recorded

FAULTS_PER_ROUND: Final = 40
# A fault may kill one node, two or all, and one that starts once more.
KILLS_A_FAULT: Final = 1.8
PROBLEMS_SHOWN_MAX: Final = 20
INSIDE: Final = "RUSTQUEUE_CHAOS_INSIDE"


def plan(arguments: argparse.Namespace, done: Counter[str], rng: random.Random) -> list[Kind]:
    """The faults of the next round, none when all that was asked for is done."""
    missing: dict[Kind, int] = {
        "kill": math.ceil((arguments.kills - done["kills"]) / KILLS_A_FAULT),
        "power cut": arguments.cuts - done["power cuts"],
        "partition": arguments.partitions - done["partitions"],
        **{kind: arguments.others - done[counted] for kind, counted in OTHERS.items()},
    }
    kinds = [kind for kind, count in missing.items() for _ in range(count)]
    rng.shuffle(kinds)
    return kinds[:FAULTS_PER_ROUND]


def main(words: list[str]) -> int:
    arguments = read(words)
    spaces = not arguments.proxies and namespaces_work()
    if spaces and INSIDE not in os.environ:
        # Links and addresses are made in a namespace of their own, so that nothing is left of them at the end.
        again = ["unshare", "--net", sys.executable, "-m", "tests.chaos.cluster", *words]
        os.execvpe(again[0], again, {**os.environ, INSIDE: "1"})
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="rustqueue-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        library = compile_shim(folder)
    except ShimError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    # Whoever ends this ends the nodes as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    network: Network = Namespaces(NODES) if spaces else Proxies(NODES)
    print(f"three nodes, links by {network.name}, in {folder}", flush=True)
    try:
        problems = run(arguments, folder, network, library)
    finally:
        network.close()
    if not problems and arguments.keep is None:
        shutil.rmtree(folder)
    return 1 if problems else 0


def read(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cluster")
    for name, default in (("kills", 40), ("partitions", 8), ("cuts", 8), ("others", 3), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--keep", type=Path)
    for flag in ("record", "resume", "proxies", "lie"):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser.parse_args(words)


def run(arguments: argparse.Namespace, folder: Path, network: Network, library: Path) -> list[Problem]:
    """All rounds, until one finds a problem."""
    rng = random.Random(arguments.seed)
    earlier = recorded("chaos") if arguments.resume else Counter[str]()
    tally: Counter[str] = Counter()
    begin_s = time.monotonic()
    ends_s = begin_s + 60 * arguments.minutes
    problems: list[Problem] = []
    faults: dict[str, FaultFigures] = {}
    number = 0
    while not problems and (kinds := plan(arguments, earlier + tally, rng)):
        if time.monotonic() > ends_s:
            print(f"the time is over: {len(kinds)} faults and perhaps more were not played")
            break
        number += 1
        round_begin_s = time.monotonic()
        one = Round(folder / f"round-{number}", network, library, rng, arguments.seconds)
        if arguments.lie:
            one.lie()
        one.play(kinds, ends_s)
        problems = one.problems
        one.tally.update(f"problem: {problem.kind}" for problem in problems)
        tally += one.tally
        for each in one.faults:
            faults[each.kind] = each if each.kind not in faults else faults[each.kind].with_others(each)
        if arguments.record:
            record("chaos", one.tally, arguments.seed, time.monotonic() - round_begin_s, conditions(one, network))
        print(f"round {number}: {one.tally['faults']} faults, {one.tally['answered']:,} commands answered", flush=True)
        if not problems:
            shutil.rmtree(folder / f"round-{number}")
    print("\n".join(table_of([faults[kind] for kind in sorted(faults)])))
    report(tally, problems, time.monotonic() - begin_s, folder)
    return problems


def conditions(one: Round, network: Network) -> dict[str, object]:
    """What the figures of a round depend on, and the gaps of each kind of fault in milliseconds."""
    gaps = {each.kind: each.gaps_ms for each in one.faults}
    return {"links": network.name, "load_average": round(os.getloadavg()[0], 1), "gaps_ms": gaps}


def report(tally: Counter[str], problems: list[Problem], seconds: float, folder: Path) -> None:
    """The table and the last line."""
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        print(f"{problem.kind}: {problem.text}")
    if problems:
        print(f"{len(problems)} problems; data, logs and history are in {folder}")
    for name, count in sorted(tally.items()):
        print(f"  {name:<30} {count:>10,}")
    print(f"  {'seconds':<30} {seconds:>10.1f}")
    lost, duplicated, wrong = (tally[f"problem: {kind}"] for kind in ("lost", "duplicated", "wrong"))
    happened = ", ".join(f"{tally[name]} {name}" for name in ("kills", "power cuts", "partitions"))
    print(f"{happened}, {lost} lost, {duplicated} duplicated" + (f", {wrong} wrong" if wrong else ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
