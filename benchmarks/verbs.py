"""Request bytes and scripts for the node's two protocols; the yardstick understands the three batch verbs.

Knows the public protocol as any client would. It does not use the project's own client, because the generator shares
two cores with the server and must cost as little as it can: replies are searched, not parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence

from benchmarks.load import LoadFailed, Script

BATCH = 50
# About 150 bytes, like a small job in real life.
PAYLOAD = {
    "user": 12345,
    "url": "https://example.com/path/to/resource",
    "tags": ["a", "b", "c"],
    "note": "x" * 60,
}

PAYLOAD_BYTES = json.dumps(PAYLOAD, separators=(",", ":")).encode()

_IDS = re.compile(rb'"id":"([0-9a-f-]{36})"')


def line(command: dict[str, object]) -> bytes:
    """One request of the line protocol."""
    return json.dumps(command, separators=(",", ":")).encode() + b"\n"


def push_batch_line(queue: str, count: int = BATCH) -> bytes:
    return line({"cmd": "push_batch", "queue": queue, "jobs": [{"name": "n", "data": PAYLOAD}] * count})


def pull_line(queue: str, count: int = BATCH, wait_ms: int = 0) -> bytes:
    command: dict[str, object] = {"cmd": "pull", "queue": queue, "count": count}
    return line(command | {"wait_ms": wait_ms} if wait_ms else command)


def ack_batch_line(ids: Sequence[bytes]) -> bytes:
    return b'{"cmd":"ack_batch","ids":["' + b'","'.join(ids) + b'"]}\n'


def ids_in(reply: bytes) -> list[bytes]:
    """The ids of the jobs in a pull's reply, in order."""
    return _IDS.findall(reply)


def expect_ok(reply: bytes) -> bytes:
    """Refuses to count work that the server refused."""
    if b'"ok":true' not in reply:
        raise LoadFailed(f"refused: {reply[:400]!r}")
    return reply


def push_batches(request: bytes, batches: int) -> Script:
    for _ in range(batches):
        expect_ok((yield request))
    return batches * BATCH


def push_lines(requests: Sequence[bytes], jobs_each: int) -> Script:
    """Sends prepared requests, each of them different."""
    for request in requests:
        expect_ok((yield request))
    return len(requests) * jobs_each


def pull_and_ack(queue: str, jobs: int) -> Script:
    """Takes batches and acknowledges them until its share is done or the queue is empty."""
    request, moved = pull_line(queue), 0
    while moved < jobs:
        ids = ids_in(expect_ok((yield request)))
        if not ids:
            break
        expect_ok((yield ack_batch_line(ids)))
        moved += len(ids)
    return moved


def pull_and_ack_waiting(queue: str, jobs: int) -> Script:
    """The same for a queue whose jobs become ready while others are acknowledged: waits a little before giving up."""
    moved = 0
    while moved < jobs:
        # Never more than its share: a batch taken from another connection's share would leave that one waiting.
        ids = ids_in(expect_ok((yield pull_line(queue, min(BATCH, jobs - moved), wait_ms=500))))
        if not ids:
            break
        expect_ok((yield ack_batch_line(ids)))
        moved += len(ids)
    return moved


def end_to_end(queue: str, batches: int) -> Script:
    """Push, pull, acknowledge in turn on one connection."""
    push, pull, moved = push_batch_line(queue), pull_line(queue), 0
    for _ in range(batches):
        expect_ok((yield push))
        ids = ids_in(expect_ok((yield pull)))
        if ids:
            expect_ok((yield ack_batch_line(ids)))
        moved += len(ids)
    return moved


def end_to_end_unawaited(queue: str, batches: int) -> Script:
    """The same, and the acknowledgement is not waited for: it leaves together with the next push.

    As with brokers whose protocol has no answer to it, two waits are left of three. Its answer is looked at all the
    same, since it comes before that of the push.
    """
    push, pull, ack, moved = push_batch_line(queue), pull_line(queue), b"", 0
    for _ in range(batches):
        yield from _lines(ack + push, 2 if ack else 1)
        ids = ids_in(expect_ok((yield pull)))
        ack = ack_batch_line(ids) if ids else b""
        moved += len(ids)
    if ack:
        yield from _lines(ack, 1)
    return moved


def end_to_end_pipelined(queue: str, batches: int) -> Script:
    """The same in one write a batch: the acknowledgement of the last one, a push, and a pull of what that pushed.

    Requests of a connection are taken and answered in order, so the pull finds the push. Every answer is looked at, the
    one to an acknowledgement with the next batch.
    """
    push_and_pull, ack, moved = push_batch_line(queue) + pull_line(queue), b"", 0
    for _ in range(batches):
        *_, pulled = yield from _lines(ack + push_and_pull, 3 if ack else 2)
        ids = ids_in(pulled)
        ack = ack_batch_line(ids) if ids else b""
        moved += len(ids)
    if ack:
        yield from _lines(ack, 1)
    return moved


def _lines(requests: bytes, count: int) -> Generator[bytes, bytes, list[bytes]]:
    """Sends several requests at once and reads until all answers are there."""
    reply = yield requests
    while reply.count(b"\n") < count:
        reply += yield b""
    return [expect_ok(line) for line in reply.splitlines()]


def single_pull_and_ack(queue: str, jobs: int) -> Script:
    """One job at a time: two round trips for each."""
    request, moved = line({"cmd": "pull", "queue": queue}), 0
    for _ in range(jobs):
        ids = ids_in(expect_ok((yield request)))
        if not ids:
            break
        expect_ok((yield b'{"cmd":"ack","id":"' + ids[0] + b'"}\n'))
        moved += 1
    return moved


def http_request(method: str, path: str, body: bytes = b"") -> bytes:
    """One HTTP/1.1 request on a connection that stays open; a body is always JSON."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body:
        head += "Content-Type: application/json\r\n"
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def expect_success(reply: bytes) -> bytes:
    """Refuses any HTTP status but 2xx."""
    if not reply.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise LoadFailed(f"refused: {reply[:400]!r}")
    return reply


def http_pushes(request: bytes, requests: int, jobs_each: int) -> Script:
    for _ in range(requests):
        expect_success((yield request))
    return requests * jobs_each


def http_push_job(queue: str, number: int) -> bytes:
    body = json.dumps({"name": "bench", "data": {"i": number}}).encode()
    return http_request("POST", f"/api/v1/queues/{queue}/jobs", body)


def http_pull_and_ack(queue: str, jobs: int) -> Script:
    """The original's shape: a GET takes one job, a POST acknowledges it."""
    pull, moved = http_request("GET", f"/api/v1/queues/{queue}/jobs"), 0
    for _ in range(jobs):
        ids = ids_in(expect_success((yield pull)))
        if not ids:
            break
        expect_success((yield http_request("POST", f"/api/v1/jobs/{ids[0].decode()}/ack")))
        moved += 1
    return moved


def http_end_to_end(queue: str, jobs: int) -> Script:
    pull = http_request("GET", f"/api/v1/queues/{queue}/jobs")
    for number in range(jobs):
        expect_success((yield http_push_job(queue, number)))
        ids = ids_in(expect_success((yield pull)))
        if not ids:
            raise LoadFailed("a pushed job was not there to be pulled")
        expect_success((yield http_request("POST", f"/api/v1/jobs/{ids[0].decode()}/ack")))
    return jobs
