"""The small port of a worker process: `/metrics`, `/livez`, `/readyz`.

It must not know jobs. Invariants: it answers GET and HEAD, one request a connection; a slow or silly client costs a few
kilobytes for a few seconds and nothing else.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

_HEAD_BYTES_MAX: Final = 8_192
_DEADLINE_S: Final = 5.0
_CONNECTIONS_MAX: Final = 64
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_PHRASES: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Not Ready"}


class Told(NamedTuple):
    """What the port tells: the metrics, and whether the process takes jobs."""

    metrics: Callable[[], str]
    is_ready: Callable[[], bool]


class Probes:
    """`start`, then `stop`. `port` is the real one after the start."""

    def __init__(self, host: str, port: int, told: Told) -> None:
        self._host = host
        self.port = port
        self._told = told
        self._server: asyncio.Server | None = None
        self._open_count = 0

    async def start(self) -> None:
        """Raises `OSError` when the address cannot be had."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=_HEAD_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open_count += 1
        try:
            if self._open_count <= _CONNECTIONS_MAX:
                async with asyncio.timeout(_DEADLINE_S):
                    writer.write(self._answer(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Whoever does not ask in time, or not at all, is not answered.
        finally:
            self._open_count -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(400, "not HTTP\n")
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _response(405, "only GET and HEAD\n", "Allow: GET, HEAD\r\n")
        whole = self._told_at(target.partition("?")[0])
        return whole if method == "GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _told_at(self, path: str) -> bytes:
        match path:
            case "/metrics":
                return _response(200, self._told.metrics(), media_type=_METRICS_TYPE)
            case "/livez":
                return _response(200, "ok\n")
            case "/readyz":
                return _response(200, "ok\n") if self._told.is_ready() else _response(503, "not ready\n")
            case _:
                return _response(404, "there are /metrics, /livez and /readyz\n")


def _response(status: int, text: str, headers: str = "", *, media_type: str = _TEXT_TYPE) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
        f"{headers}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
