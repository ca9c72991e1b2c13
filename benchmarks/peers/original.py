"""The original, RustQueue 0.2.0, with its durable store and with the one of its headline figures.

Its hybrid store answers before anything is on disk and hangs when two clients work at once, so it is only ever given
one connection at a time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from benchmarks.load import LoadFailed
from benchmarks.peers import PeerMissing, find_program
from benchmarks.processes import StartFailed, accepts
from benchmarks.processes import running as running_process
from benchmarks.results import CaseResult
from benchmarks.servers import Server, Starter
from rustqueue.demo.ports import free_port

Store = Literal["redb", "hybrid"]
STORES: tuple[Store, ...] = ("redb", "hybrid")
NAMES = ("original redb", "original hybrid")

# The settings of its own script, write coalescing off included: with one command in flight it only adds waiting.
CONFIGURATION = """\
[server]
host = "127.0.0.1"

[storage]
backend = "{store}"
path = "{path}"
durability = "immediate"
redb_durability = "immediate"
write_coalescing_enabled = false
"""


def _program() -> Path:
    cache = os.environ.get("RUSTQUEUE_PEERS")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (Path(cache) if cache else base / "rustqueue-peers") / "bin"
    # Only this folder: a `rustqueue` on the path is our own.
    if not (folder / "rustqueue").is_file():
        raise PeerMissing("the original is not built (benchmarks/peers/install.sh)")
    return find_program("rustqueue", folder)


@contextlib.contextmanager
def running(starter: Starter, store: Store) -> Iterator[Server]:
    """One server of the original on a fresh folder."""
    program, folder = _program(), starter.fresh_folder(f"original-{store}")
    configuration = folder / "rustqueue.toml"
    configuration.write_text(CONFIGURATION.format(store=store, path=folder / "data"))
    http_port, tcp_port = free_port(), free_port()
    ports = ["--http-port", str(http_port), "--tcp-port", str(tcp_port)]
    command: list[str | Path] = [program, "serve", "-c", configuration, *ports]
    try:
        with running_process(command, folder, lambda: accepts(http_port) and accepts(tcp_port)) as process:
            yield Server(f"original {store}", tcp_port, http_port, (process.pid,))
    except StartFailed as error:
        raise PeerMissing(f"the original did not start: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_early(result: CaseResult, server: Server, error: LoadFailed) -> None:
    """An original that hangs or dies in the middle is noted with its figures so far; the node may not."""
    if server.name not in NAMES:
        raise error
    result.skipped.append(f"{server.name} gave up in the middle: {str(error).splitlines()[-1]}")
