"""Bad input over TCP: whatever a client sends, it gets an error or a closed connection, and the node goes on."""

import asyncio
import json
import random

import pytest

from rustqueue.node import Node
from rustqueue.settings import LimitsSettings
from tests.unit.tcp_client import a_node, connected, until

SEED = 20_250_601
LINES = [
    b'{"cmd":"push","queue":"mail","name":"n","data":{"a":[1,2,{"b":null}]},"priority":3,"unique_key":"u"}',
    b'{"cmd":"push_batch","queue":"mail","jobs":[{"name":"a"},{"name":"b","options":{"delay_ms":5}}],"request_id":"r"}',
    b'{"cmd":"pull","queue":"mail","count":3,"lease_ms":1000}',
    b'{"cmd":"pull","queues":[{"queue":"mail","weight":2},{"queue":"x"}],"wait_ms":1}',
    b'{"cmd":"ack_batch","ids":["01980000-0000-7000-8000-000000000000"]}',
    b'{"cmd":"fail","id":"custom:mail:x","error":"\\ud83d\\ude00"}',
    b'{"cmd":"queue_settings","queue":"mail","limits":{"max_waiting":100},"defaults":{"priority":1}}',
    b'{"cmd":"job_list","queue":"mail","metadata":{"k":"v"},"limit":10}',
    b'{"cmd":"auth","token":"t"}',
]
PIECES = [
    b"\xff",
    b"\x00",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"1e999",
    b"-0",
    b"null",
    b"\\u0000",
    b"NaN",
    b" ",
]


def mutated(chance: random.Random, line: bytes) -> bytes:
    data = bytearray(line)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(PIECES)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                data[at:at] = data[: chance.randint(0, 20)]
    return bytes(data).replace(b"\n", b" ").lstrip(b"\x01\x02\x03\x10")  # Which would begin a binary frame.


async def talk(node: Node, lines: list[bytes], chance: random.Random) -> list[bytes]:
    """Send the lines in pieces of any size, then the end; return all answers."""
    stream = b"".join(line + b"\n" for line in lines)
    async with connected(node) as client:
        while stream:
            size = chance.choice([1, 7, 100, 10_000])
            client.send_raw(stream[:size])
            stream = stream[size:]
            if chance.random() < 0.1:
                await client.writer.drain()
        client.writer.write_eof()
        return (await client.rest()).splitlines()


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
async def test_mutated_lines_are_each_answered_and_break_nothing(seed: int) -> None:
    chance = random.Random(seed)
    async with a_node() as node:
        for _ in range(10):
            lines = [mutated(chance, chance.choice(LINES)) for _ in range(40)]
            answers = await talk(node, [b'{"cmd":"health"}', *lines], chance)
            decoded = [json.loads(answer) for answer in answers]
            assert len(decoded) == 1 + sum(line not in (b"", b"\r") for line in lines)
            codes = {answer["error"]["code"] for answer in decoded if not answer["ok"] and "error" in answer}
            assert "INTERNAL_ERROR" not in codes
        assert node.replicator.stopped is None
        async with connected(node) as client:
            assert (await client.ask("health"))["status"] == "healthy"


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
async def test_noise_breaks_nothing(seed: int) -> None:
    chance = random.Random(seed)
    async with a_node() as node:
        for _ in range(30):
            noise = chance.randbytes(chance.randint(1, 3_000))
            async with connected(node) as client:
                client.send_raw(noise)
                client.writer.write_eof()
                await client.rest()
        async with connected(node) as client:
            assert (await client.ask("health"))["status"] == "healthy"


async def test_clients_that_vanish_in_the_middle_of_everything_leave_nothing_behind() -> None:
    chance = random.Random(SEED)
    async with a_node() as node:
        for _ in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.tcp.port)
            for _ in range(chance.randint(0, 5)):
                writer.write(chance.choice(LINES) + b"\n")
            writer.write(chance.choice(LINES)[: chance.randint(0, 30)])
            if chance.random() < 0.5:
                writer.transport.abort()
            else:
                writer.close()
            del reader
        async with connected(node) as client:
            await until(lambda: len(node.tcp.connections) == 1 and node.gateway.waiting_count == 0, client)
            assert (node.gateway.waiting_count, len(node.tcp.line_deadlines)) == (0, 0)


async def test_many_half_lines_are_closed_and_others_are_served_meanwhile() -> None:
    async with a_node(limits=LimitsSettings(line_deadline_ms=300)) as node:
        slow = [await asyncio.open_connection("127.0.0.1", node.tcp.port) for _ in range(200)]
        for _, writer in slow:
            writer.write(b'{"cmd":"push","queue"')
        async with connected(node) as client:
            for _ in range(50):
                assert (await client.ask("push", queue="mail", name="n"))["ok"] is True
            for reader, writer in slow:
                assert b"REQUEST_TIMEOUT" in await asyncio.wait_for(reader.read(), 60)
                writer.close()
            assert (await client.ask("health"))["ok"] is True
