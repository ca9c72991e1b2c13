"""The client processes of one cycle, and what they write down."""

import subprocess
import sys
import threading
from typing import BinaryIO

from rustqueue.history.lines import Broken, Call, Down, Event, decode_line, encode_line
from tests.chaos.clients import Door
from tests.chaos.evidence import ROOT
from tests.chaos.nodes import Node, NodeFault

PROCESSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("p", ("single", "batch", "rich", "http", "http-batch", "look")),
    ("w", ("one", "many", "many")),
)
Processes = tuple[tuple[str, tuple[str, ...]], ...]
START_DEADLINE_S = 60
DOWN_DEADLINE_S = 60
FINISH_DEADLINE_S = 90


class Load:
    """Runs from its making on. Names and operations of one cycle never come again in another."""

    def __init__(
        self, doors: list[Door], seed: str, number: int, history: BinaryIO, processes: Processes = PROCESSES
    ) -> None:
        self.calls: list[Call] = []
        self.broken: list[Broken] = []
        self._history = history
        self._changed = threading.Condition()
        self._clients = sum(len(roles) for _, roles in processes)
        self._called: set[str] = set()
        self._down: set[str] = set()
        self.events: list[Event] = []
        self._pushed_since_us = 0
        self._pushed = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[threading.Thread] = []
        for name, roles in processes:
            words = [sys.executable, "-m", "tests.chaos.clients", f"{name}{number}.", seed]
            words += [",".join(door.text() for door in doors), *roles]
            process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            listener = threading.Thread(target=self._listen, args=(process,))
            self._processes.append(process)
            self._listeners.append(listener)
            listener.start()

    def run_for(self, seconds: float, node: Node) -> None:
        """Let the load work, counted from its first calls, and learn at once when the node ends by itself."""
        self.wait_for_calls()
        if node.ended_within(seconds):
            raise NodeFault(f"the node ended by itself: {node.last_words()}")

    def wait_for_calls(self) -> None:
        """Until every client has made one: who never had a connection would not notice that the node is gone."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._called) >= self._clients or self.broken, START_DEADLINE_S)

    def wait_for_push(self, since_us: int, timeout_s: float) -> bool:
        """Until a push is acknowledged that began later."""
        with self._changed:
            self._pushed_since_us = since_us
            self._pushed = False
            return self._changed.wait_for(lambda: self._pushed or bool(self.broken), timeout_s)

    def pause(self, seconds: float) -> bool:
        """Let the load work; True if a client met nonsense meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.broken), seconds)

    def note(self, event: Event) -> None:
        """Write down what is done to the nodes."""
        with self._changed:
            self.events.append(event)
            self._history.write(encode_line(event))

    def wait_until_all_are_down(self) -> None:
        """Until every client noticed that the node is gone: then all replies that came are written down."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._down) >= self._clients or self.broken, DOWN_DEADLINE_S):
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

    def _is_awaited_push(self, call: Call) -> bool:
        if call.reply is None or call.start_us < self._pushed_since_us:
            return False
        return bool(call.reply["ok"]) and call.request["cmd"] in ("push", "push_batch")

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            line = decode_line(text)
            with self._changed:
                self._history.write(text)
                if isinstance(line, Call):
                    self.calls.append(line)
                    self._called.add(line.client)
                    self._pushed = self._pushed or self._is_awaited_push(line)
                elif isinstance(line, Down):
                    self._down.add(line.client)
                elif isinstance(line, Broken):
                    self.broken.append(line)
                self._changed.notify_all()
        process.stdout.close()
