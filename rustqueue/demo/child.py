"""The demo's node: `rustqueue serve` as a child process that can be killed and started again on the same folder.

It knows processes and ports, nothing about jobs. Invariant: it signals only the process that it started itself.
"""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rustqueue.demo.ports import free_port

READY_DEADLINE_PROBES = 1_200
PROBE_PAUSE_S = 0.05
STOP_DEADLINE_S = 35


class NodeFailed(Exception):
    """The child ended or did not become ready; the message carries the end of its log."""


class NodeChild:
    """One node on one folder and two ports, over several lives. `flags` stand behind its command line."""

    def __init__(self, folder: Path, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.http_port = free_port()
        self.tcp_port = free_port()
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def tcp_url(self) -> str:
        return f"tcp://127.0.0.1:{self.tcp_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the node was started"
        return self._process.pid

    def start(self) -> None:
        """Start a life and wait until the node says that it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        words = [sys.executable, "-m", "rustqueue", "serve", "--data", str(self.folder / "data")]
        words += ["--http-port", str(self.http_port), "--tcp-port", str(self.tcp_port), *self._flags]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops its children in order.
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        assert self._process is not None, "the node was started"
        for _ in range(READY_DEADLINE_PROBES):
            if self._is_ready():
                return
            try:
                # The pause between two probes waits for the end of the child: a dead node is seen at once.
                code = self._process.wait(PROBE_PAUSE_S)
            except subprocess.TimeoutExpired:
                continue
            raise NodeFailed(f"the node ended with code {code}: {self.last_words()}")
        raise NodeFailed(f"the node did not become ready: {self.last_words()}")

    def kill(self) -> None:
        """SIGKILL, the end that no program can prepare for."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End politely, or by force when that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """The end of the log on one line."""
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return " | ".join(lines[-3:])

    @property
    def _log(self) -> Path:
        return self.folder / "node.log"

    def _is_ready(self) -> bool:
        # Not urllib: a proxy set for the shell must not stand between two processes of one machine.
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
