"""`python -m tests.chaos.crash`: a real node under load is killed at random moments; every acknowledged command is
checked.

    --kills N     so many SIGKILLs (20); about a third are made into power cuts
    --seconds S   about so long under load before each (1.0)
    --seed K      what the clients do and when the node dies (1)
    --record      append the result to docs/evidence/crash.jsonl
    --keep DIR    where the data, the log and the history go, kept when a problem is found

A cycle: clients work, the node dies (sometimes while it stops, sometimes again while it starts), clients repeat what
they may repeat, then they finish and everything that any client was ever told is compared with the state. Five cycles
share a data folder; at its end the node is stopped politely, `rustqueue check` has to find it sound, and it is compared
once more. Ends with one line, `N kills, 0 lost, 0 duplicated`, and 0; with 1 after any problem.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Literal

from rustqueue.history.lines import Call, Event, Object, encode_line
from rustqueue.history.verdict import Problem, judge
from tests.chaos.evidence import record
from tests.chaos.load import Load
from tests.chaos.nodes import Node, NodeFault, snapshot
from tests.chaos.power import StoreCopies, cut_journal, find_ends, stored_index

CYCLES_PER_FOLDER = 5
CUT_SHARE = 0.35
ROLLBACK_SHARE = 0.5
KILLED_AGAIN_SHARE = 0.2
STOPPING_SHARE = 0.15
POLITE_SHARE = 0.15
PROBLEMS_SHOWN_MAX = 20


class Tally(Counter[str]):
    """What happened so far: kills, cuts, commands by outcome, problems by kind."""


class Round:
    """One data folder: cycles of load, death and judgement."""

    def __init__(self, folder: Path, rng: random.Random, seconds: float, tally: Tally) -> None:
        folder.mkdir(parents=True)
        self.node = Node(folder)
        self.calls: list[Call] = []
        self.problems: list[Problem] = []
        self._cycles = 0
        self._folder = folder
        self._rng = rng
        self._seconds = seconds
        self._tally = tally
        self._copies = StoreCopies(folder)
        self._history = (folder / "history.jsonl").open("wb")

    def play(self, kills: int) -> None:
        """Run until `kills` SIGKILLs or the first problem."""
        self.node.start()
        self.node.stop()
        self._copies.take(self.node.data)
        self.node.start()
        target = self._tally["kills"] + kills
        while self._tally["kills"] < target and not self.problems:
            self._cycle()
            print(f"\r{self._tally['kills']} kills, {self._tally['answered']} commands answered", end="", flush=True)
        if not self.problems:
            self._last_rites()

    def _cycle(self) -> None:
        rng = self._rng
        self._cycles += 1
        load = Load([self.node.door], f"{rng.randrange(2**32)}", self._cycles, self._history)
        try:
            load.run_for(rng.uniform(0.2, 1.8) * self._seconds, self.node)
            if rng.random() < STOPPING_SHARE:
                self.node.kill_while_stopping(rng.uniform(0.0, 0.3))
                self._tally["kills while stopping"] += 1
            else:
                self.node.kill()
            self._tally["kills"] += 1
            self._event("kill", {})
            load.wait_until_all_are_down()
            if rng.random() < CUT_SHARE:
                self._cut_power({*(call.op for call in self.calls), *load.answered_ops()})
            if rng.random() < KILLED_AGAIN_SHARE:
                self.node.launch()
                if not self.node.ended_within(rng.uniform(0.0, 1.0)):
                    self._tally["kills while starting"] += 1
                self.node.kill()
            self.node.start()
            load.run_for(rng.uniform(0.1, 0.6) * self._seconds, self.node)
        finally:
            load.finish()
        self._take(load)
        if rng.random() < POLITE_SHARE:
            self.node.stop()
            self._tally["polite stops"] += 1
            self.node.start()
        self._judge()

    def _cut_power(self, answered: set[str]) -> None:
        data = self.node.data
        rolled_back = self._copies.bring_back(data, self._rng) if self._rng.random() < ROLLBACK_SHARE else None
        ends = find_ends(data, answered, stored_index(data, self._folder / "scratch"))
        details = {**cut_journal(ends, self._rng), "store": rolled_back}
        self._copies.take(data)
        self._tally[f"cut: {details['how']}"] += 1
        self._tally["cut: store rolled back"] += rolled_back is not None
        self._tally["power cuts"] += 1
        self._event("cut", details)

    def _take(self, load: Load) -> None:
        self.calls += load.calls
        for call in load.calls:
            outcome = "unknown" if call.reply is None else "answered" if call.reply["ok"] else "refused"
            self._tally[outcome] += 1
        self.problems += [Problem("wrong", f"{broken.client}: {broken.reason}") for broken in load.broken]

    def _judge(self) -> None:
        state = snapshot(self.node)
        self.problems += judge(self.calls, state)
        self._tally["judgements"] += 1
        self._event("checked", {"jobs": len(state.jobs), "problems": len(self.problems)})

    def _last_rites(self) -> None:
        self.node.stop()
        words = [sys.executable, "-m", "rustqueue", "check", str(self.node.data)]
        found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
        if found.returncode != 0:
            self.problems.append(Problem("wrong", f"rustqueue check: {found.stdout} {found.stderr}"))
        self.node.start()
        self._judge()
        self.node.stop()

    def _event(self, what: Literal["kill", "cut", "checked"], details: Object) -> None:
        event = Event(what, time.monotonic_ns() // 1_000, details)
        self._history.write(encode_line(event))

    def close(self) -> None:
        self.node.end()
        self._history.close()
        self._copies.forget()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.crash")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args(words)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="rustqueue-crash-"))
    tally, begin_s = Tally(), time.monotonic()
    problems: list[Problem] = []
    rng = random.Random(arguments.seed)
    for number in range(1, arguments.kills + 1):
        remaining = arguments.kills - tally["kills"]
        if remaining <= 0 or problems:
            break
        one = Round(folder / f"round-{number}", rng, arguments.seconds, tally)
        try:
            one.play(min(CYCLES_PER_FOLDER, remaining))
        except NodeFault as fault:
            one.problems.append(Problem("wrong", str(fault)))
        finally:
            one.close()
        problems = one.problems
        if not problems:
            shutil.rmtree(folder / f"round-{number}")
    tally.update(f"problem: {problem.kind}" for problem in problems)
    seconds = time.monotonic() - begin_s
    report(tally, problems, seconds, folder)
    if not problems and arguments.keep is None:
        shutil.rmtree(folder)
    if arguments.record:
        record("crash", tally, arguments.seed, seconds)
    return 1 if problems else 0


def report(tally: Tally, problems: list[Problem], seconds: float, folder: Path) -> None:
    """The table and the last line."""
    print("\r" + " " * 70 + "\r", end="")
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        print(f"{problem.kind}: {problem.text}")
    if problems:
        print(f"{len(problems)} problems; data, log and history are in {folder}")
    for name, count in sorted(tally.items()):
        print(f"  {name:<24} {count:>10,}")
    print(f"  {'seconds':<24} {seconds:>10.1f}")
    lost, duplicated = tally["problem: lost"], tally["problem: duplicated"]
    wrong = f", {tally['problem: wrong']} wrong" if tally["problem: wrong"] else ""
    print(f"{tally['kills']} kills, {lost} lost, {duplicated} duplicated{wrong}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
