"""A real node on a loop of its own in a thread, so that blocking clients can be tested against it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rustqueue.demo.ports import free_port
from rustqueue.node import running_node
from rustqueue.settings import Settings, WebhooksSettings
from rustqueue.settings.sections import AuthSettings, ServerSettings, StorageSettings

STOP_DEADLINE_S = 60


class Ports(NamedTuple):
    http: int
    tcp: int

    def url(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.http if scheme == 'http' else self.tcp}"


EPHEMERAL = Ports(0, 0)


def lasting_ports() -> Ports:
    """Where a node can come back to: the system gives them to nobody else meanwhile."""
    return Ports(free_port(), free_port())


def node_settings(folder: Path, ports: Ports = EPHEMERAL, token: str | None = None) -> Settings:
    return Settings(
        server=ServerSettings(host="127.0.0.1", http_port=ports.http, tcp_port=ports.tcp),
        storage=StorageSettings(path=str(folder)),
        auth=AuthSettings(enabled=token is not None, tokens=[] if token is None else [token]),
        webhooks=WebhooksSettings(enabled=True),
    )


@contextmanager
def node_in_thread(settings: Settings) -> Iterator[Ports]:
    """Yields the ports of a node that is ready; it is stopped at the end."""
    ready: Future[tuple[Ports, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with running_node(settings) as node:
            ready.set_result((Ports(node.http.port, node.tcp.port), asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="node")
    thread.start()
    ports, loop, stop = ready.result(STOP_DEADLINE_S)
    try:
        yield ports
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_DEADLINE_S)
