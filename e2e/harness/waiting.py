"""Waiting for a condition of the outside world, always with a limit."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WaitedInVain(AssertionError):
    """What was waited for did not come in its time."""


def until(what: str, probe: Callable[[], T], seconds: float = 60, every: float = 0.1) -> T:
    """Ask until the answer is true, and give it back."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise WaitedInVain(f"after {seconds:g} s: {what}")
        pause(every)
    return answer


def pause(seconds: float) -> None:
    """Let others work between two looks at something that cannot tell by itself that it changed."""
    threading.Event().wait(seconds)
