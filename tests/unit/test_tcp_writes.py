"""When answers leave: alone at once, in company together, and never out of order."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rustqueue.tcp.connection import Connection
from tests.unit.tcp_client import a_node

HEALTH = b'{"cmd":"health"}\n'
PUSH = b'{"cmd":"push","queue":"mail","name":"n"}\n'
WAIT = b'{"cmd":"pull","queue":"idle","wait_ms":60000,"request_id":7}\n'


class Wire(asyncio.Transport):
    """A transport that takes everything and remembers how it was cut into writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.changed = asyncio.Event()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.writes.append(bytes(data))
        self.changed.set()

    async def until(self, writes: int) -> None:
        while len(self.writes) < writes:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)

    def verdicts(self) -> list[list[bool]]:
        """Of each write, whether its answers are good ones."""
        return [[msgspec.json.decode(line)["ok"] for line in write.splitlines()] for write in self.writes]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_an_answer_without_company_leaves_before_the_loop_turns() -> None:
    async with a_node() as node:
        wire, connection = Wire(), Connection(node.tcp)
        connection.connection_made(wire)
        connection.data_received(HEALTH)
        assert wire.verdicts() == [[True]]
        connection.data_received(b"{}\n")
        assert wire.verdicts() == [[True], [False]]
        connection.connection_lost(None)


async def test_answers_to_what_came_together_leave_together_and_in_order() -> None:
    async with a_node() as node:
        wire, connection = Wire(), Connection(node.tcp)
        connection.connection_made(wire)
        connection.data_received(HEALTH + b"{}\n" + HEALTH)
        assert wire.writes == []
        await wire.until(1)
        connection.data_received(PUSH + PUSH + b"{}\n")
        assert wire.verdicts() == [[True, False, True]]
        await wire.until(2)
        assert wire.verdicts() == [[True, False, True], [True, True, False]]
        connection.connection_lost(None)


async def test_an_answer_beside_a_pull_that_waits_is_given_all_the_same() -> None:
    async with a_node() as node:
        wire, connection = Wire(), Connection(node.tcp)
        connection.connection_made(wire)
        connection.data_received(WAIT)
        connection.data_received(HEALTH)
        await wire.until(1)
        assert wire.verdicts() == [[True]]
        connection.connection_lost(None)


async def test_the_last_answer_of_a_client_that_is_to_go_leaves_before_the_end() -> None:
    async with a_node() as node:
        wire, connection = Wire(), Connection(node.tcp)
        connection.connection_made(wire)
        connection.data_received(PUSH)
        connection.finish()
        assert (wire.writes, wire.closed) == ([], False)
        await wire.until(1)
        assert (wire.verdicts(), wire.closed) == ([[True]], True)
        connection.connection_lost(None)
