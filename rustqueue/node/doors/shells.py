"""Starting the shells of a node: all of them, or none."""

import asyncio
from collections.abc import Iterable, Sequence

from rustqueue.api.app import HttpShell
from rustqueue.gateway.ports import Around
from rustqueue.tcp import TcpShell

Shell = TcpShell | HttpShell


def those_of(*shells: Shell | None) -> list[Shell]:
    """The shells that there are."""
    return [shell for shell in shells if shell is not None]


async def start_all(shells: Sequence[Shell], around: Around | None) -> None:
    """In this order. Those that were started are stopped again when a later one cannot be."""
    for place, shell in enumerate(shells):
        shell.around = around
        try:
            await shell.start()
        except BaseException:
            await stop_all(shells[:place], 0)
            raise


async def stop_all(shells: Iterable[Shell], deadline_s: float) -> None:
    await asyncio.gather(*(shell.stop(deadline_s) for shell in shells))
