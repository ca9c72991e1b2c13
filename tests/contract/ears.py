"""What a case hears without asking: calls of webhooks, and events over a WebSocket."""

import asyncio
import base64
import contextlib
import hmac
from typing import Final

import msgspec

from tests.conformance.protocols import Json
from tests.unit.webhook_receiver import Heard

SECRET: Final = "canary"
"""The secret of every webhook that has one."""
_TEXT: Final = 1
_HEADERS: Final = ("content-type", "x-rustqueue-event", "x-rustqueue-webhook-id", "x-rustqueue-signature")


def delivery(call: Heard) -> Json:
    """The headers of the contract and the body; a signature is told as right or wrong."""
    given = {name.lower(): value for name, value in call.headers.items()}
    headers = {name: given.get(name) for name in _HEADERS}
    if headers["x-rustqueue-signature"] is not None:
        digest = hmac.digest(SECRET.encode(), call.body, "sha256").hex()
        headers["x-rustqueue-signature"] = (
            "right" if headers["x-rustqueue-signature"] == f"sha256={digest}" else "wrong"
        )
    return {"headers": headers, "body": msgspec.json.decode(call.body)}


class Events:
    """Follows all events from now on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._following = asyncio.create_task(self._follow())
        self.heard: list[Json] = []

    @classmethod
    async def followed(cls, http_port: int) -> "Events":
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        key = base64.b64encode(bytes(16)).decode()
        lines = ["GET /api/v1/events HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return cls(reader, writer)

    async def _follow(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                first, length = await self._reader.readexactly(2)
                if length in (126, 127):
                    length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
                text = await self._reader.readexactly(length)
                if first & 0x0F == _TEXT:
                    self.heard.append(msgspec.json.decode(text))

    async def close(self) -> None:
        self._following.cancel()
        self._writer.close()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._following
