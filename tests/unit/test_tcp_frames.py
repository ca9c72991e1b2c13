"""The original's binary frames: exact bytes, the same rules as lines, and whatever else may come."""

import asyncio
import json
import random
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.model import limits
from rustqueue.model.errors import ApiError, TooLarge
from rustqueue.settings import AuthSettings
from rustqueue.tcp.frames import Frame, FrameBroken, error_frame
from rustqueue.tcp.messages import MessageBuffer
from tests.unit.tcp_client import RawClient, a_node, connected

SEED = 20_261_122
UNKNOWN = uuid.UUID("01980000-0000-7000-8000-000000000000").bytes


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def push(queue: bytes, *payloads: bytes) -> bytes:
    items = b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads)
    return b"\x01" + text(queue) + struct.pack(">I", len(payloads)) + items


def pull(queue: bytes, count: int) -> bytes:
    return b"\x02" + text(queue) + struct.pack(">I", count)


def ack(*ids: bytes) -> bytes:
    return b"\x03" + struct.pack(">I", len(ids)) + b"".join(ids)


def channel(number: int, frame: bytes) -> bytes:
    return b"\x10" + struct.pack(">H", number) + frame


class FrameClient:
    """Speaks frames over a connection that may have spoken lines before."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._reader = client._reader

    async def _exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(count), 60)

    async def number(self, form: str = ">I") -> int:
        found: int = struct.unpack(form, await self._exactly(struct.calcsize(form)))[0]
        return found

    async def refusal(self, frame: bytes) -> str:
        self._client.send_raw(frame)
        return await self.refused()

    async def refused(self) -> str:
        assert await self._exactly(1) == b"\x01"
        return (await self._exactly(await self.number(">H"))).decode()

    async def pushed(self, frame: bytes) -> list[bytes]:
        self._client.send_raw(frame)
        assert await self._exactly(1) == b"\x00"
        return [await self._exactly(16) for _ in range(await self.number())]

    async def pulled(self, frame: bytes) -> list[tuple[bytes, bytes]]:
        self._client.send_raw(frame)
        assert await self._exactly(1) == b"\x00"
        jobs = []
        for _ in range(await self.number()):
            job_id = await self._exactly(16)
            jobs.append((job_id, await self._exactly(await self.number())))
        return jobs

    async def acked(self, frame: bytes) -> tuple[int, int]:
        self._client.send_raw(frame)
        assert await self._exactly(1) == b"\x00"
        return await self.number(), await self.number()

    async def channel(self) -> int:
        return await self.number(">H")


async def test_jobs_are_pushed_pulled_and_acked() -> None:
    async with a_node() as node, connected(node) as client, connected(node) as lines:
        frames = FrameClient(client)
        payloads = [b'{"a": [1, 2]}', b"no JSON\xff", b"", b'"text\\n"', b"null"]
        ids = await frames.pushed(push(b"mail", *payloads))
        assert len(set(ids)) == 5
        job = (await lines.ask("get", id=str(uuid.UUID(bytes=ids[1]))))["job"]
        assert (job["queue"], job["name"], job["data"]) == ("mail", "binary-job-1", "no JSON�")
        jobs = await frames.pulled(pull(b"mail", 1)) + await frames.pulled(pull(b"mail", 10))
        assert [job_id for job_id, _ in jobs] == ids
        assert [json.loads(data) for _, data in jobs] == [{"a": [1, 2]}, "no JSON�", "", "text\n", None]
        assert jobs[0][1] == payloads[0]
        assert await frames.pulled(pull(b"mail", 10)) == []
        assert await frames.acked(ack(*ids, UNKNOWN, ids[0])) == (5, 2)
        assert await frames.acked(ack()) == (0, 0)
        assert await frames.pushed(push(b"mail")) == []
        counts = (await lines.ask("stats", queue="mail"))["counts"]
        assert (counts["completed"], counts["active"], counts["waiting"]) == (5, 0, 0)


async def test_answers_of_channels_begin_with_their_number() -> None:
    async with a_node() as node, connected(node) as client:
        frames = FrameClient(client)
        client.send_raw(
            channel(7, push(b"mail", b"1")) + channel(65_535, pull(b"mail", 1)) + channel(0, pull(b"\xff", 1))
        )
        assert await frames.channel() == 7
        [job_id] = await frames.pushed(b"")
        assert await frames.channel() == 65_535
        assert await frames.pulled(b"") == [(job_id, b"1")]
        assert await frames.channel() == 0
        assert await frames.refused() == "VALIDATION_ERROR: 'queue' is no UTF-8"


async def test_lines_and_frames_share_a_connection_and_its_order() -> None:
    async with a_node(auth=AuthSettings(enabled=True, tokens=["the token"])) as node, connected(node) as client:
        # Given frames before a token, which end the conversation
        async with connected(node) as stranger:
            assert (await FrameClient(stranger).refusal(push(b"mail", b"1"))).startswith("UNAUTHORIZED: ")
            assert await stranger.rest() == b""
        # When a token comes first
        frames = FrameClient(client)
        line = b'{"cmd":"auth","token":"the token"}\n'
        client.send_raw(line + push(b"mail", b'"a\nb"') + b'{"cmd":"stats","queue":"mail"}\n' + pull(b"mail", 1))
        assert (await client.answer())["ok"] is True
        [job_id] = await frames.pushed(b"")
        assert (await client.answer())["counts"]["waiting"] == 1
        assert (await frames.pulled(b""))[0][0] == job_id
        assert (await client.ask("health"))["ok"] is True


async def test_mistakes_are_answered_and_the_connection_goes_on() -> None:
    async with a_node() as node, connected(node) as client:
        frames = FrameClient(client)
        long, deep = b'"' + b"x" * limits.DATA_BYTES_MAX + b'"', b"[" * 100_000
        assert "jobs[1].data" in await frames.refusal(push(b"mail", b"1", long, b"2"))
        assert "jobs" in await frames.refusal(push(b"mail", *[b"1"] * 1_001))
        assert (await frames.refusal(push(b"mail", deep))).startswith("VALIDATION_ERROR: ")
        assert "queue" in await frames.refusal(push(b"no queue!", b"1"))
        assert "queue" in await frames.refusal(pull(b"", 1))
        assert "count" in await frames.refusal(pull(b"mail", 2**32 - 1))
        assert "ids" in await frames.refusal(ack(*[UNKNOWN] * 1_001))
        assert "frame" in await frames.refusal(push(b"mail", *[b" " * limits.DATA_BYTES_MAX] * 17))
        assert (await client.ask("stats", queue="mail"))["counts"]["waiting"] == 0


@pytest.mark.parametrize(
    "frame",
    [
        b"\x01" + text(b"mail") + struct.pack(">II", 1, limits.FRAME_PART_BYTES_MAX + 1),
        b"\x01" + text(b"mail") + struct.pack(">I", 2**32 - 1),
        b"\x03" + struct.pack(">I", limits.FRAME_PART_BYTES_MAX // 16 + 1),
        channel(1, b"\x04"),
        channel(1, channel(2, pull(b"mail", 1))),
    ],
)
async def test_what_cannot_be_taken_ends_the_conversation(frame: bytes) -> None:
    async with a_node() as node, connected(node) as client:
        client.send_raw(frame + pull(b"mail", 1))
        told = await client.rest()
        assert told == error_frame(told[3:].decode())
        async with connected(node) as other:
            assert (await other.ask("health"))["ok"] is True


MESSAGES = st.one_of(
    st.sampled_from([b'{"a":1}\n', b"\n", b"\r\n", b"[]\r\n", b"x\n"]),
    st.builds(lambda queue, payloads: push(queue, *payloads), st.binary(max_size=3), st.lists(st.binary(max_size=9))),
    st.builds(pull, st.sampled_from([b"q", b"\n", b"\x01"]), st.integers(0, 2**32 - 1)),
    st.builds(lambda ids: ack(*ids), st.lists(st.binary(min_size=16, max_size=16), max_size=3)),
    st.builds(lambda number: channel(number, pull(b"q", 1)), st.integers(0, 65_535)),
)


def shown(messages: list[bytes | Frame]) -> list[object]:
    return [message if isinstance(message, bytes) else (message.channel, str(message.line)) for message in messages]


@given(st.lists(MESSAGES, max_size=6), st.data())
def test_messages_are_the_same_however_the_stream_is_cut(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    whole, cut = MessageBuffer(1_000), MessageBuffer(1_000)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found: list[bytes | Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if start < end:
            found += cut.feed(stream[start:end])
    assert shown(found) == shown(list(whole.feed(stream)) if stream else [])
    assert len(found) == len([message for message in messages if message not in (b"\n", b"\r\n")])
    assert cut.partial_bytes == whole.partial_bytes == 0


def test_noise_is_messages_or_an_error_and_nothing_else() -> None:
    chance = random.Random(SEED)
    seeds = [
        push(b"mail", b"{}", b"x"),
        pull(b"mail", 3),
        ack(UNKNOWN),
        channel(3, pull(b"q", 1)),
        b'{"cmd":"health"}\n',
    ]
    for _ in range(3_000):
        noise = bytearray(b"".join(chance.choices(seeds, k=3)))
        for _ in range(chance.randint(0, 4)):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        buffer = MessageBuffer(200)
        try:
            for start in range(0, len(noise), 7):
                for message in buffer.feed(bytes(noise[start : start + 7])):
                    assert isinstance(message, bytes) or isinstance(message.line, bytes | ApiError)
        except (FrameBroken, TooLarge):
            continue


async def test_a_node_survives_frames_that_are_nearly_right() -> None:
    chance = random.Random(SEED)
    async with a_node() as node:
        for _ in range(40):
            noise = bytearray(push(b"mail", b"{}", b"x") + channel(9, ack(UNKNOWN)) + pull(b"mail", 2))
            for _ in range(chance.randint(1, 3)):
                noise[chance.randrange(len(noise))] = chance.randrange(256)
            async with connected(node) as client:
                client.send_raw(bytes(noise))
                client.writer.write_eof()
                await client.rest()
        async with connected(node) as client:
            assert (await client.ask("health"))["status"] == "healthy"
