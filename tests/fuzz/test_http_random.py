"""Requests that were damaged at random, over a real socket: an answer of ours or a closed connection, never a 5xx, a
traceback or a shell that stops serving. The seed is fixed; a failure names the case, which can be run alone.
"""

import logging
import random

import pytest

from tests.fuzz.shell import Setting, request_bytes, running_shell

JOB = "0193e7a0-1111-7000-8000-000000000000"
CASES = 1_500
SEED = 20_261_122
GOOD = [
    request_bytes(
        "POST", "/api/v1/queues/q/jobs?receipt=1", b'{"name":"n","data":{"a":[1,2,{"b":null}]},"tags":["x"]}'
    ),
    request_bytes("POST", "/api/v1/queues/q/jobs", b'[{"name":"n","data":1},{"name": "m", "data": "\xc3\xa9"}]'),
    request_bytes("GET", "/api/v1/queues/q/jobs?count=3&wait_ms=60000&worker_id=w"),
    request_bytes("POST", "/api/v1/queues/q/pull", b'{"count":2,"wait_ms":60000}', (("Expect", "100-continue"),)),
    request_bytes("POST", f"/api/v1/jobs/{JOB}/ack", b'{"result":{"k":"v"}}', (("Idempotency-Key", "k-1"),)),
    request_bytes("POST", f"/api/v1/jobs/{JOB}/fail", b'{"error":"boom \\ud83d\\ude00"}'),
    request_bytes("POST", "/api/v1/jobs/ack-batch", b'{"ids":["a","b"]}'),
    request_bytes("GET", "/api/v1/jobs?metadata.user=7&limit=10&order=asc", None, (("X-Request-Id", "r-1"),)),
    request_bytes("PUT", "/api/v1/queues/q", b'{"defaults":{"priority":5},"mode":"hold"}'),
    request_bytes("DELETE", "/api/v1/queues/q?force=true"),
    request_bytes("HEAD", "/api/v1/queues/q/stats"),
    request_bytes("GET", "/livez", None, (("Connection", "Upgrade"), ("Upgrade", "websocket"))),
    b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n10\r\ne":"n","data":1}\r\n0\r\n\r\n',
]
PIECES = [
    b"\r\n",
    b"\r\n\r\n",
    b"\x00",
    b"\xff",
    b"{",
    b"}",
    b"[",
    b'"',
    b",",
    b":",
    b" ",
    b"%",
    b"?",
    b"&",
    b"#",
    b"HTTP/1.1",
]
PIECES += [
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0",
    b"99999999999999999999",
    b"-1",
    b"NaN",
    b"\\u0000",
]


def damaged(data: bytes, dice: random.Random) -> bytes:
    """One small damage: a byte changed, a piece put in, cut out, doubled, or the end lost."""
    at = dice.randrange(len(data) + 1)
    end = min(len(data), at + dice.randrange(1, 20))
    kind = dice.randrange(6)
    if kind == 0:
        return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + dice.choice(PIECES) + data[at:]
    if kind == 2:
        return data[:at] + data[end:]
    if kind == 3:
        return data[:end] + data[at:end] * dice.choice([1, 2, 50]) + data[end:]
    if kind == 4:
        return data[:at]
    return data[:at] + dice.randbytes(dice.randrange(1, 64)) + data[at:]


def case(number: int) -> bytes:
    """One to three requests in a row, each with up to three damages."""
    dice = random.Random(SEED + number)
    data = b""
    for _ in range(dice.choice([1, 1, 2, 3])):
        request = dice.choice(GOOD)
        for _ in range(dice.choice([0, 1, 1, 2, 3])):
            request = damaged(request, dice)
        data += request
    return data


async def run(at: Setting, data: bytes, position: int) -> None:
    """Send it in two parts, then no more, and look at all that comes back."""
    wire = await at.connect()
    wire.send(data[:position])
    await wire.writer.drain()
    wire.send(data[position:])
    wire.writer.write_eof()
    # An answer to HEAD has a length and no body, so that what follows it cannot be read without knowing that.
    for answer in await wire.answers() if b"HEAD " not in data else []:
        assert answer.status < 500, answer
        assert answer.headers["x-request-id"] != ""
        if answer.status >= 400:
            assert answer.code.isupper()
    await wire.close()


async def test_damaged_requests_never_break_the_shell(caplog: pytest.LogCaptureFixture) -> None:
    async with running_shell() as at:
        with caplog.at_level(logging.WARNING):
            for number in range(CASES):
                data = case(number)
                position = random.Random(number).randrange(len(data) + 1)
                try:
                    await run(at, data, position)
                except ConnectionError:
                    continue  # Refused before all of it was sent.
                except Exception as error:
                    raise AssertionError(f"case {number}: {data!r}") from error
            following = await at.ask("GET", "/livez")

        assert following.status == 200
        assert [record.getMessage() for record in caplog.records] == []
        assert [status for _, status in at.node.observed if status >= 500] == []
        assert at.gateway.requests != []
        assert at.gateway.waiting == []
