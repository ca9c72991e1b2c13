"""The first process of a pod of a cluster: runs the node, has it taken in, and let go when its pod goes for good.

It must not know what a job is. Invariants: it lives as long as the node and ends with the node's exit code; a stop is
passed on to the node at the latest half of the grace period after it came; what cannot be learned changes nothing.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Final, Protocol

from msgspec import Struct

from rustqueue_operator.pod.asking import Answer, Server, ask
from rustqueue_operator.pod.decisions import after_joining, after_leaving, is_beyond

_LOOK_S: Final = 1.0
_READY_S: Final = 5.0  # A node that is ready is left alone for so long.
_PATIENCE_S: Final = 3.0
"""How long a node may be not ready before its place is asked for; a restart takes less."""
_PAUSE_MAX_S: Final = 15.0
_SIZE_TRIES: Final = 3
_SIZE_TIMEOUT_S: Final = 1.5
_CHANGE_TIMEOUT_S: Final = 8.0
_AGAIN_S: Final = 0.3
_API: Final = "/api/v1"


class Ask(Protocol):
    def __call__(
        self, server: Server, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
    ) -> Answer: ...


class Neighbourhood(Struct, frozen=True, kw_only=True):
    """Whom a pod talks to. `stateful_set` is the path of its own one at the API server; None: nobody can be asked."""

    node: str
    ordinal: int
    address: str
    own: Server
    service: Server
    kubernetes: Server | None
    stateful_set: str
    grace_s: float


class Place:
    """This node's place in the cluster: asked for while it is not ready, given back when it is not needed any more."""

    def __init__(
        self,
        around: Neighbourhood,
        ask: Ask = ask,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._around = around
        self._ask = ask
        self._monotonic = monotonic
        self._sleep = sleep or Event().wait
        self._waits_since = monotonic()
        self._pause_s = 0.0
        self._rests_until = 0.0
        self._said = ""

    def look(self) -> None:
        """Ask to be taken in if the node has been not ready for a while: it is new, or it lost its disk."""
        now = self._monotonic()
        if now < self._rests_until:
            return
        if self._ask(self._around.own, "GET", "/readyz", None, 1.0).status == 200:
            self._waits_since, self._pause_s, self._rests_until = now, 0.0, now + _READY_S
            return
        if now - self._waits_since < _PATIENCE_S + self._pause_s:
            return
        # Unready again from here: the next try comes after the pause.
        self._waits_since, self._pause_s = now, min(_PAUSE_MAX_S, self._pause_s * 2 or _LOOK_S)
        path = f"{_API}/cluster/members/{self._around.node}/replace"
        answer = self._ask(self._around.service, "POST", path, {"address": self._around.address}, _CHANGE_TIMEOUT_S)
        if answer.status == 200:
            self._say("info", "taken into the cluster")
        elif after_joining(answer) == "never":
            self._say("error", "the cluster does not take this node in", answer)
        elif after_joining(answer) == "again":
            self._say("warning", "not taken into the cluster yet", answer)

    def leave(self) -> bool:
        """Give the place back if the StatefulSet has none for this pod any more. True: this node is no member now."""
        deadline = self._monotonic() + self._around.grace_s / 2
        if not self._is_beyond(deadline):
            return False
        while True:
            left_s = deadline - self._monotonic()
            if left_s <= 0:
                self._say("error", "the removal was not committed in time; the operator goes on with it")
                return False
            path = f"{_API}/cluster/members/{self._around.node}"
            answer = self._ask(self._around.service, "DELETE", path, None, min(_CHANGE_TIMEOUT_S, left_s))
            step = after_leaving(answer)
            if step == "done":
                self._say("info", "no member of the cluster any more")
                return True
            if step == "never":
                self._say("error", "the cluster does not let this node go", answer)
                return False
            self._say("warning", "not let go yet", answer)
            self._sleep(_AGAIN_S)

    def _is_beyond(self, deadline: float) -> bool:
        server = self._around.kubernetes
        if server is None:
            return False
        answer = Answer(0, {})
        for _ in range(_SIZE_TRIES):
            left_s = deadline - self._monotonic()
            if left_s <= 0:
                break
            answer = self._ask(server, "GET", self._around.stateful_set, None, min(_SIZE_TIMEOUT_S, left_s))
            if answer.status == 200:
                return is_beyond(self._around.ordinal, answer.body)
            if answer.status == 404:
                return False  # All of it goes, and may come back with its volumes.
            self._sleep(_AGAIN_S)
        self._say("warning", "the size of the StatefulSet is not known, so this node stays a member", answer)
        return False

    def _say(self, level: str, message: str, answer: Answer | None = None) -> None:
        """A line like those of the node; the same one is not said twice in a row."""
        about = {} if answer is None else {"status": answer.status, "code": answer.code, "reason": answer.text}
        line = {"level": level, "logger": "rustqueue.pod", "message": message, **about}
        if self._said != (text := json.dumps(line)):
            self._said = text
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            sys.stderr.write(json.dumps({"timestamp": now, **line}) + "\n")


def keep(words: Sequence[str], place: Place) -> int:
    """Run the node until it ends; the exit code for this process."""
    stops = {signal.SIGTERM, signal.SIGINT}
    awaited = {*stops, signal.SIGCHLD, signal.SIGALRM}
    # Waited for, not handled: nothing here can be interrupted between two thoughts. The node gets them unblocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    node = subprocess.Popen(words, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before))
    stopping = False
    while True:
        # An alarm, and no wait with a limit: when a process is stopped in the middle of one and goes on, as in a
        # container that was frozen, the interpreter (CPython 3.11 to 3.13) makes up a signal that nobody sent.
        signal.setitimer(signal.ITIMER_REAL, _LOOK_S)
        heard = signal.sigwait(awaited)
        code = node.poll()
        if code is not None:
            return code if code >= 0 else 128 - code
        if heard in stops:
            if not stopping:
                place.leave()
            # A second one is passed on too: the node then ends at once.
            stopping = True
            node.send_signal(heard)
        elif not stopping and not stops & signal.sigpending():
            place.look()
