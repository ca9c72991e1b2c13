"""The test of the tester: `python -m tests.simulation.planted` looks for every planted bug and says where it was found.

A simulator that misses one within its budget of seeds is broken, whatever else it says: the exit code is 1 then.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.planted import consensus, durability, machine, members
from tests.simulation.planted.bug import SEEDS_MAX, Bug, Found, find

BUGS: tuple[Bug, ...] = (*durability.BUGS, *consensus.BUGS, *machine.BUGS, *members.BUGS)
_HOW_CHARS = 90


def search(number: int) -> Found | None:
    """By number, since a world cannot be sent to another process."""
    return find(BUGS[number])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to use")
    parser.add_argument("--only", default="", help="bugs whose name contains this")
    options = parser.parse_args()
    numbers = [number for number, bug in enumerate(BUGS) if options.only in bug.name]
    began, missed = time.monotonic(), 0
    print(f"{'bug':46} {'seed':>5} {'seconds':>8}  found as")
    with ProcessPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        for number, found in zip(numbers, pool.map(search, numbers), strict=True):
            bug = BUGS[number]
            if found is None:
                missed += 1
                print(f"{bug.name:46} {'-':>5} {'-':>8}  MISSED in {SEEDS_MAX} seeds", flush=True)
            else:
                print(f"{bug.name:46} {found.seed:>5} {found.seconds:>8.1f}  {found.how[:_HOW_CHARS]}", flush=True)
    print(f"{len(numbers) - missed} of {len(numbers)} planted bugs found in {time.monotonic() - began:.0f} s")
    return 1 if missed or not numbers else 0


if __name__ == "__main__":
    sys.exit(main())
