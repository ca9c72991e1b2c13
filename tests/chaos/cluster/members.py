"""The nodes of a rig as one cluster: started, killed, paused, asked who leads. Knows processes, not faults.

Invariant: a node that ends although nobody ended it is a `NodeFault`.
"""

import http.client
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.chaos.clients import Door
from tests.chaos.cluster.disk import cut_power, end_life
from tests.chaos.cluster.network import Network
from tests.chaos.cluster.shim import Control
from tests.chaos.nodes import PROBE_PAUSE_S, Node, NodeFault

READY_DEADLINE_S: Final = 180
ASK_DEADLINE_S: Final = 2


class Member:
    """One node: its process, its disk record, its control page."""

    def __init__(self, number: int, folder: Path, network: Network, library: Path, flags: tuple[str, ...]) -> None:
        folder.mkdir(parents=True)
        (folder / "data").mkdir()
        self.number = number
        self.record = folder / "record"
        self.control = Control(folder / "control")
        life = network.life(number)
        environment = {
            **life.environment,
            "LD_PRELOAD": str(library),
            "RQ_SHIM_CONTROL": str(folder / "control"),
            "RQ_SHIM_DATA": str(folder / "data"),
            "RQ_SHIM_RECORD": str(self.record),
        }
        self.node = Node(folder, replace(life, environment=environment, flags=flags))
        self.runs = self.paused = False

    @property
    def name(self) -> str:
        return self.node.life.name

    def launch(self) -> None:
        end_life(self.record)
        self.node.launch()
        self.runs = True

    def kill(self) -> None:
        self.resume()
        self.node.kill()
        self.runs = False

    def stop(self) -> None:
        self.node.stop()
        self.runs = False

    def pause(self) -> None:
        self.node.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self.node.signal(signal.SIGCONT)
            self.paused = False

    def must_end(self, seconds: float) -> None:
        """It has to end by itself, as after a disk error."""
        if not self.node.ended_within(seconds):
            raise NodeFault(f"{self.name} goes on although its disk failed: {self.node.last_words()}")
        self.runs = False

    def cut_power(self, rng: random.Random) -> Counter[str]:
        """What a power cut does to the disk of a node that is down."""
        assert not self.runs, "only a node that is down can lose what it did not sync"
        return cut_power(self.record, rng)

    def check(self) -> None:
        """It runs if it should."""
        if self.runs and not self.paused and self.node.ended_within(0):
            raise NodeFault(f"{self.name} ended by itself: {self.node.last_words()}")

    def ask(self, path: str) -> Any:
        """The answer of its HTTP port; None when there is none."""
        connection = http.client.HTTPConnection(self.node.life.host, self.node.http_port, timeout=ASK_DEADLINE_S)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


class Cluster:
    """Three nodes, or five."""

    def __init__(self, nodes: int, folder: Path, network: Network, library: Path) -> None:
        peers = json.dumps([f"n{number}={network.address(number)}" for number in range(nodes)])
        self.network = network
        self.members: list[Member] = []
        for number in range(nodes):
            flags: tuple[str, ...] = (
                "--cluster-enabled",
                "true",
                "--cluster-node-id",
                f"n{number}",
                "--cluster-insecure",
                "true",
            )
            flags += ("--cluster-listen", network.listen(number), "--cluster-peers", peers)
            self.members.append(Member(number, folder / f"n{number}", network, library, flags))

    @property
    def doors(self) -> list[Door]:
        return [member.node.door for member in self.members]

    def start(self) -> None:
        for member in self.members:
            if not member.runs:
                member.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """All of them, within a time that a loaded machine needs."""
        deadline = time.monotonic() + READY_DEADLINE_S
        for member in self.members:
            while not member.node.is_ready():
                if member.node.ended_within(PROBE_PAUSE_S):
                    raise NodeFault(f"{member.name} ended instead of starting: {member.node.last_words()}")
                if time.monotonic() > deadline:
                    raise NodeFault(f"{member.name} did not become ready: {member.node.last_words()}")

    def check(self) -> None:
        for member in self.members:
            member.check()

    def leader(self) -> Member | None:
        """Who leads, as the node says that knows of the highest term."""
        best: tuple[int, Member] | None = None
        for member in self.running():
            told = member.ask("/api/v1/cluster") or {}
            name = (told.get("leader") or "").partition("#")[0]
            for candidate in self.members:
                if candidate.name == name and (best is None or told["term"] > best[0]):
                    best = (told["term"], candidate)
        return None if best is None else best[1]

    def running(self) -> list[Member]:
        return [member for member in self.members if member.runs and not member.paused]

    def isolate(self, numbers: Iterable[int]) -> None:
        """Cut these off from all others, in both directions."""
        alone = set(numbers)
        others = {member.number for member in self.members} - alone
        self.network.cut([pair for a in alone for b in others for pair in ((a, b), (b, a))])

    def stop(self) -> None:
        for member in self.members:
            if member.runs:
                member.stop()

    def end(self) -> None:
        """Whatever happened: nothing is left running."""
        for member in self.members:
            member.resume()
            member.node.end()
            member.control.close()
