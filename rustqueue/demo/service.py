"""One address for all nodes of the demo's cluster, as a Service is in Kubernetes: each new connection goes to a node
that takes it, in turns. When its node dies, a connection breaks, and the client's next one finds another node.

It must not know what is sent. Invariant: what one side sends reaches the other unchanged, until either of them ends.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from itertools import count

_CHUNK_BYTES = 65_536
_START_DEADLINE_S = 60


class Service:
    """Runs in a thread with an event loop of its own."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self._ports = ports
        self._turns = count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-service", daemon=True)
        self._carried: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_START_DEADLINE_S)

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_START_DEADLINE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        try:
            node = await self._reach()
            if node is not None:
                await asyncio.gather(_pump(reader, node[1]), _pump(node[0], writer))
        finally:
            self._carried.discard(task)
            writer.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next node that takes one."""
        first = next(self._turns)
        for step in range(len(self._ports)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._ports[(first + step) % len(self._ports)])
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
