"""Starting the shells of a node: all of them, or none."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Sequence

from rustqueue.api.app import HttpShell
from rustqueue.gateway.ports import Around
from rustqueue.reasons import reason_of
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
        except BaseException as error:
            await stop_all(shells[:place], 0)
            if isinstance(error, OSError):
                raise OSError(_not_listening(shell, error)) from error
            raise


def _not_listening(shell: Shell, error: OSError) -> str:
    """The whole sentence for a port that cannot be had."""
    protocol = "TCP" if isinstance(shell, TcpShell) else "HTTP"
    host, port = shell.options.host, shell.options.port
    # The loop wraps the text of the system into one of its own; names that are not known have a text only there.
    reason = reason_of(error) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    advice = {
        errno.EADDRINUSE: ": stop what listens there, or choose another port",
        errno.EACCES: ": ports below 1024 are for root, choose another port",
        errno.EADDRNOTAVAIL: ": this machine has no such address, see --server-host",
    }
    return f"cannot listen on {host}:{port} for {protocol}: {reason}{advice.get(error.errno or 0, '')}"


async def stop_all(shells: Iterable[Shell], deadline_s: float) -> None:
    await asyncio.gather(*(shell.stop(deadline_s) for shell in shells))
