"""A loop whose clock jumps to the next timer as soon as nothing else is to do, for tests of what times mean.

It knows no sockets: nothing but timers may be waited for. Invariant: how busy the machine is changes nothing, neither
the order of timers nor the time that has passed.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at zero and passes only while everybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s = 0.0
        self._selector: Any
        look = self._selector.select

        def select(timeout: float | None) -> Any:
            events = look(0)
            if not events:
                assert timeout is not None, "nothing will ever happen any more"
                self._passed_s += timeout
            return events

        self._selector.select = select

    def time(self) -> float:
        return self._passed_s


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test, run in a loop of that kind."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*arguments, **named))

    return run
