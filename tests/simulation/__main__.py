"""Play many seeds and report: `python -m tests.simulation --seeds 500 --from 0`, or one: `--seed 17 -v`."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.chaos.evidence import record
from tests.simulation.cluster_faults import CLUSTER_KINDS
from tests.simulation.cluster_world import CLUSTER_EVENTS, ClusterWorld
from tests.simulation.faults import KINDS
from tests.simulation.membership_faults import MISTAKE
from tests.simulation.odd_faults import ODD_CLUSTER_KINDS, ODD_KINDS
from tests.simulation.plan import Event
from tests.simulation.shrink import Run, shrink
from tests.simulation.world import Report, World

_SEEDS_FOR_ALL_KINDS = 100
_NOTES_SHOWN = 60
_SEEDS_A_LINE = 100
_FAILURES_MAX = 10
"""After so many the reason is known, or the simulator is broken."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed. `failure` is None when every invariant held."""

    seed: int
    report: Report | None
    failure: str | None


SINGLE, CLUSTER, BOTH = "single", "cluster", "both"


def world_of(seed: int, kind: str) -> World:
    """One node, or a cluster. With `both` every second seed is a cluster's, which takes several times as long."""
    clustered = kind == CLUSTER or (kind == BOTH and seed % 2 == 1)
    return ClusterWorld(seed) if clustered else World(seed)


def play(seed: int, kind: str) -> Outcome:
    world = world_of(seed, kind)
    try:
        return Outcome(seed, world.run(), None)
    except Exception as error:
        return Outcome(seed, None, f"{type(error).__name__}: {error}")


def play_loud(seed: int, kind: str, kept: frozenset[Event] | None) -> Outcome:
    """One seed with what happened last. `kept`: of its faults only these."""
    world = world_of(seed, kind)
    world.plan.kept = kept
    failure: str | None = None
    report: Report | None = None
    try:
        report = world.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    for at_us, text in world.notes[-_NOTES_SHOWN:]:
        print(f"{at_us / 1e6:12.6f} s  {text}")
    return Outcome(seed, report, failure)


def play_all(seeds: range, kind: str, jobs: int, limit_s: float) -> Iterator[Outcome]:
    """In order of seeds, in `jobs` processes, for at most that long. 0: in this one, for a debugger or to measure."""
    ends = time.monotonic() + limit_s
    if jobs == 0:
        for seed in seeds:
            if time.monotonic() < ends:
                yield play(seed, kind)
        return
    width = max(1, jobs) * 4
    with ProcessPoolExecutor(max_workers=max(1, jobs)) as pool:
        for first in range(seeds.start, seeds.stop, width):
            if time.monotonic() >= ends:
                return
            yield from pool.map(partial(play, kind=kind), range(first, min(first + width, seeds.stop)))


def faults_of(outcomes: list[Outcome]) -> Counter[str]:
    """How often each kind of fault happened."""
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.report is not None:
            faults.update(outcome.report.faults)
    return faults


def tally_of(outcomes: list[Outcome]) -> dict[str, int]:
    """What the ledger keeps of a run."""
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    return {
        "seeds": len(outcomes),
        "failed": len(outcomes) - len(reports),
        "simulated seconds": sum(report.simulated_us for report in reports) // 1_000_000,
        "pushes acknowledged": sum(report.acked_pushes_count for report in reports),
        "leases": sum(report.leases_count for report in reports),
        **faults_of(outcomes),
    }


def summarise(outcomes: list[Outcome], kind: str, took_s: float) -> int:
    """Print the sums; the number of things that are wrong."""
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    faults = faults_of(outcomes)
    wrong = len(outcomes) - len(reports)
    simulated_h = sum(report.simulated_us for report in reports) / 3.6e9
    print(f"{len(outcomes)} seeds in {took_s:.0f} s, {simulated_h:.1f} h simulated")
    print(
        f"{sum(report.calls_count for report in reports):,} calls, "
        f"{sum(report.unknown_count for report in reports):,} with unknown outcome; "
        f"{sum(report.entries_count for report in reports):,} log entries, "
        f"{sum(report.replays_count for report in reports):,} replayed after restarts"
    )
    print(
        f"{sum(report.jobs_count for report in reports):,} jobs, "
        f"{sum(report.acked_pushes_count for report in reports):,} pushes acknowledged, "
        f"{sum(report.leases_count for report in reports):,} leases, "
        f"{sum(report.completed_count for report in reports):,} completed, "
        f"{sum(report.ticks_count for report in reports):,} runs of schedules"
    )
    print("faults:")
    must: tuple[str, ...] = (*KINDS, *ODD_KINDS)
    if kind != SINGLE:
        must = (*CLUSTER_KINDS, *ODD_CLUSTER_KINDS, MISTAKE, *CLUSTER_EVENTS)
    for name in [*must, *sorted(set(faults) - set(must))]:
        print(f"  {name:24}{faults[name]:>10,}")
        if name in must and faults[name] == 0 and len(outcomes) >= _SEEDS_FOR_ALL_KINDS:
            print(f"  ERROR: {name!r} never happened in {len(outcomes)} seeds")
            wrong += 1
    return wrong


def shrunk(seed: int, kind: str, limit_s: float) -> int:
    """Print the smallest list of faults with which the seed still fails, and how to play it. 1 if it fails."""
    ends, tries = time.monotonic() + limit_s, 0

    def run(kept: frozenset[Event] | None) -> Run:
        nonlocal tries
        tries += 1
        world = world_of(seed, kind)
        world.plan.kept = kept
        try:
            world.run()
        except Exception as error:
            return Run(f"{type(error).__name__}: {error}", tuple(world.plan.happened))
        return Run(None, tuple(world.plan.happened))

    best = shrink(run, lambda: time.monotonic() < ends)
    if best.failure is None:
        print(f"seed {seed} does not fail")
        return 0
    print(f"{best.failure}\n{len(best.happened)} faults are left after {tries} tries:")
    for at_us, event in best.happened:
        print(f"{at_us / 1e6:12.6f} s  {event}")
    keep = ",".join(map(str, (event for _, event in best.happened)))
    print(f"{again(seed, kind)} --keep '{keep}'")
    return 1


def again(seed: int, kind: str) -> str:
    """The command that plays one seed again."""
    return f"python -m tests.simulation --seed {seed} --worlds {kind} -v"


def played(seeds: range, options: argparse.Namespace) -> list[Outcome]:
    """All of them, with a line for each that fails, and one now and then."""
    outcomes: list[Outcome] = []
    failed = 0
    for outcome in play_all(seeds, options.worlds, options.jobs, options.minutes * 60):
        outcomes.append(outcome)
        if outcome.failure is not None:
            failed += 1
            print(f"FAILED {outcome.failure} | {again(outcome.seed, options.worlds)}", flush=True)
        if failed >= _FAILURES_MAX:
            break
        if len(outcomes) % _SEEDS_A_LINE == 0:
            print(f"{len(outcomes)} seeds played, {failed} failed", flush=True)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to play")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument(
        "--worlds", choices=(SINGLE, CLUSTER, BOTH), default=BOTH, help="one node, several, or by turns"
    )
    parser.add_argument("--shrink", type=int, metavar="SEED", help="find the smallest list of faults that fails")
    parser.add_argument("--keep", help="with --seed: leave out all faults but these, as --shrink prints them")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: print what happened last")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to use; 0: this one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no more seeds after so many minutes")
    parser.add_argument("--record", action="store_true", help="append the result to docs/evidence/simulation.jsonl")
    options = parser.parse_args()
    began = time.monotonic()
    if options.shrink is not None:
        return shrunk(options.shrink, options.worlds, options.minutes * 60)
    if options.seed is not None:
        kept = None if options.keep is None else frozenset(map(Event.read, options.keep.split(",")))
        seeds = range(options.seed, options.seed + 1)
        loud = options.verbose or kept is not None
        outcomes = [play_loud(options.seed, options.worlds, kept) if loud else play(options.seed, options.worlds)]
    else:
        seeds = range(options.first, options.first + options.seeds)
        outcomes = played(seeds, options)
    took_s = time.monotonic() - began
    wrong = summarise(outcomes, options.worlds, took_s)
    if options.record:
        record(f"simulation-{options.worlds}", tally_of(outcomes), seeds.start, took_s)
    if options.seed is not None and outcomes[0].failure is not None:
        print(f"FAILED seed {options.seed}: {outcomes[0].failure}")
    failed = sum(outcome.failure is not None for outcome in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if wrong or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
