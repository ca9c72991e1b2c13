"""The client processes of one cycle, and what they write down."""

import subprocess
import sys
import threading
from typing import BinaryIO

from tests.chaos.evidence import ROOT
from tests.chaos.history import Broken, Call, Down, decode_line
from tests.chaos.nodes import Node, NodeFault

PROCESSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("p", ("single", "batch", "rich", "http", "http-batch", "look")),
    ("w", ("one", "many", "many")),
)
CLIENTS = sum(len(roles) for _, roles in PROCESSES)
START_DEADLINE_S = 60
DOWN_DEADLINE_S = 60
FINISH_DEADLINE_S = 90


class Load:
    """Runs from its making on. Names and operations of one cycle never come again in another."""

    def __init__(self, node: Node, seed: str, number: int, history: BinaryIO) -> None:
        self.calls: list[Call] = []
        self.broken: list[Broken] = []
        self._node = node
        self._history = history
        self._changed = threading.Condition()
        self._down: set[str] = set()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[threading.Thread] = []
        for name, roles in PROCESSES:
            words = [sys.executable, "-m", "tests.chaos.clients", f"{name}{number}.", seed]
            words += [str(node.tcp_port), str(node.http_port), *roles]
            process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            listener = threading.Thread(target=self._listen, args=(process,))
            self._processes.append(process)
            self._listeners.append(listener)
            listener.start()

    def run_for(self, seconds: float) -> None:
        """Let the load work, counted from its first call, and learn at once when the node ends by itself."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self.calls or self.broken), START_DEADLINE_S)
        if self._node.ended_within(seconds):
            raise NodeFault(f"the node ended by itself: {self._node.last_words()}")

    def wait_until_all_are_down(self) -> None:
        """Until every client noticed that the node is gone: then all replies that came are written down."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._down) >= CLIENTS or self.broken, DOWN_DEADLINE_S):
                raise NodeFault(f"clients did not notice the end of the node: {sorted(self._down)} did")
            self._down.clear()

    def answered_ops(self) -> set[str]:
        with self._changed:
            return {call.op for call in self.calls if call.reply is not None}

    def finish(self) -> None:
        """Let the clients end what they have begun."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process, listener in zip(self._processes, self._listeners, strict=True):
            try:
                process.wait(FINISH_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.broken.append(Broken("load", "a client process did not finish"))
            listener.join()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            line = decode_line(text)
            with self._changed:
                self._history.write(text)
                if isinstance(line, Call):
                    self.calls.append(line)
                elif isinstance(line, Down):
                    self._down.add(line.client)
                elif isinstance(line, Broken):
                    self.broken.append(line)
                self._changed.notify_all()
        process.stdout.close()
