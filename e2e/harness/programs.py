"""Programs that live as long as the test run, and not longer: also when the test run is killed."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_DEADLINE_S = 60
LAST_WORDS_BYTES = 2_000


class ProgramFault(Exception):
    """A program ended by itself, or did not do what it was started for."""


class Program:
    """One long-running program with a log of its own; may be stopped and started again with the same arguments."""

    def __init__(self, name: str, words: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self._words = [str(word) for word in words]
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self) -> None:
        assert not self.runs(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            # The kernel kills it when we die, whatever we die of.
            words = ["setpriv", "--pdeathsig", "KILL", "--", *self._words]
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def must_run(self) -> None:
        """Called while waiting for it: a program that died is told at once, with its last words."""
        if not self.runs():
            code = None if self._process is None else self._process.returncode
            raise ProgramFault(f"{self.name} ended with code {code}: {self.last_words()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and wait for the end; it need not run any more."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def last_words(self) -> str:
        try:
            return self.log.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace")
        except OSError:
            return ""
