"""A round of the chaos test: a cluster is founded, suffers a list of faults under load, and is judged.

After each fault the cluster must serve again without help, within a deadline; at the end every call of every client is
compared with the state, each node's data folder has to be sound, and all nodes have to hold the same.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from rustqueue.history.figures import FaultFigures
from rustqueue.history.lines import Event, encode_line
from rustqueue.history.report import judge_history, read_history
from rustqueue.history.verdict import Problem
from tests.chaos.cluster.faults import FAULTS, Kind, Stage
from tests.chaos.cluster.members import Cluster
from tests.chaos.cluster.network import Network
from tests.chaos.evidence import ROOT
from tests.chaos.load import Load, Processes
from tests.chaos.nodes import NodeFault, snapshot

NODES: Final = 3
SERVE_DEADLINE_S: Final = 150
CHECK_DEADLINE_S: Final = 300
ALL_READY_SHARE: Final = 0.2
PROCESSES: Processes = (
    ("p", ("single", "batch", "rich", "http", "http-batch", "look", "look")),
    ("w", ("one", "many", "many", "slow", "twice")),
)


class Round:
    """One cluster in one folder. `problems` tells what was found."""

    def __init__(self, folder: Path, network: Network, library: Path, rng: random.Random, seconds: float) -> None:
        folder.mkdir(parents=True)
        self.problems: list[Problem] = []
        self.faults: list[FaultFigures] = []
        self.tally: Counter[str] = Counter()
        self.history = folder / "history.jsonl"
        self._cluster = Cluster(NODES, folder, network, library)
        self._rng = rng
        self._seconds = seconds

    def lie(self) -> None:
        """All disks say that they have what they have not: the judge is on trial."""
        for member in self._cluster.members:
            member.control.lie()

    def play(self, kinds: Sequence[Kind], ends_s: float) -> None:
        """No fault begins after that moment; the round is judged all the same."""
        try:
            with self.history.open("wb") as history:
                self._suffer(kinds, ends_s, history)
            self._judge()
            self._last_rites()
        except NodeFault as fault:
            self.problems.append(Problem("wrong", str(fault)))
        finally:
            self._cluster.end()

    def _suffer(self, kinds: Sequence[Kind], ends_s: float, history: BinaryIO) -> None:
        self._cluster.start()
        load = Load(self._cluster.doors, f"{self._rng.randrange(2**32)}", 1, history, PROCESSES)
        try:
            load.wait_for_calls()
            stage = Stage(self._cluster, self._rng, self.tally, self._seconds)
            for kind in kinds:
                if time.monotonic() > ends_s:
                    break
                load.pause(self._rng.uniform(0.2, 0.8) * self._seconds)
                self._one_fault(kind, stage, load)
            self._let_live(load)
        finally:
            load.finish()
        self._count(load)
        for line in snapshot(self._cluster.members[0].node).lines():
            history.write(encode_line(line))

    def _one_fault(self, kind: Kind, stage: Stage, load: Load) -> None:
        before = Counter(self.tally)
        # A fault that comes while a node still starts costs what both of them cost.
        others = "" if all(member.node.is_ready() for member in self._cluster.members) else "in recovery"
        begin_us, stage.shape = _now_us(), ""
        steps = FAULTS[kind](stage)
        seconds = next(steps, None)
        load.note(Event("fault", begin_us, {"kind": " ".join(f"{kind} {stage.shape} {others}".split())}))
        while seconds is not None:
            load.pause(seconds)
            seconds = next(steps, None)
        details = {name: count for name, count in (self.tally - before).items()}
        load.note(Event("healed", _now_us(), {"kind": kind, **details}))
        self._cluster.check()
        if not load.wait_for_push(_now_us(), SERVE_DEADLINE_S):
            raise NodeFault(f"no push was taken within {SERVE_DEADLINE_S} s after: {kind} {details}")
        # Mostly the next fault comes while a node that was hit still starts or catches up.
        if self._rng.random() < ALL_READY_SHARE:
            self._cluster.wait_until_ready()
        self.tally["faults"] += 1

    def _let_live(self, load: Load) -> None:
        """Without faults, so that what was left in the middle comes to its end."""
        load.note(Event("quiet", _now_us(), {}))
        self._cluster.wait_until_ready()
        load.pause(1.0)
        self._cluster.check()

    def _count(self, load: Load) -> None:
        for call in load.calls:
            outcome = "unknown" if call.reply is None else "answered" if call.reply["ok"] else "refused"
            self.tally[outcome] += 1

    def _judge(self) -> None:
        """By what was written down, as anybody can who has the file."""
        report, problems = judge_history(read_history(self.history))
        self.faults = report.faults
        self.problems += problems
        self.tally["jobs put in order"] += report.ordered
        if report.undecided:
            self.problems.append(Problem("wrong", f"{report.undecided} jobs could not be decided"))

    def _last_rites(self) -> None:
        """All nodes stop, and each folder is looked at: sound, and equal where the logs end alike."""
        self._cluster.stop()
        hashes: dict[int, set[str]] = {}
        for member in self._cluster.members:
            words = [sys.executable, "-m", "rustqueue", "check", str(member.node.data), "--output", "json"]
            found = subprocess.run(
                words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=CHECK_DEADLINE_S
            )
            if found.returncode != 0:
                self.problems.append(Problem("wrong", f"{member.name}: {found.stdout} {found.stderr}"))
                continue
            report = json.loads(found.stdout)
            end = report["store"]["applied_index"] + report["store"]["replayed"]
            hashes.setdefault(end, set()).add(report["store"]["state_hash"])
        self.problems += [
            Problem("wrong", f"nodes hold different states up to entry {end}: {sorted(found)}")
            for end, found in hashes.items()
            if len(found) > 1
        ]
        self.tally["folders compared"] += len(self._cluster.members)


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
