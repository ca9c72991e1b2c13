"""Case `script`: the original's own benchmark script, as its parameters are published.

One connection, one command in flight, batches of 50, 5,000 jobs named `bench` with the data `{"i": n}`, a plain client
that builds and parses every message with the standard library's json. A server runs half of its ten repeats without a
pause, as that script does, then the next server has its turn: completed jobs pile up, and a store that answers first
and writes later is not given the time to write between two figures.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from benchmarks.context import Context
from benchmarks.load import LoadFailed, Prepare, Script, one_connection
from benchmarks.peers import original
from benchmarks.results import CaseResult
from benchmarks.servers import Server
from benchmarks.verbs import BATCH

JOBS = 5_000
TURNS = 2
REPEATS_A_TURN = 5
QUEUE = "bench"
FACTORS = {"produce": 1.5, "consume": 2.0, "end to end": 2.0}


def run(context: Context, result: CaseResult) -> None:
    turns, repeats = (1, 3) if context.quick else (TURNS, REPEATS_A_TURN)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(context.starter.node())]
        if context.peers:
            for store in original.STORES:
                context.join(result, stack, servers, original.running(context.starter, store))
        for _ in range(turns):
            for server in list(servers):
                context.rest(servers)
                if not _series(context, result, server, repeats):
                    servers.remove(server)
    for what, factor in FACTORS.items():
        result.require(
            f"{what}: node / best of the original", result.ratio(what, "node", original.NAMES), "at least", factor
        )
        samples = next(m.samples for m in result.measurements if (m.subject, m.what) == ("node", what))
        if len(samples) >= TURNS * REPEATS_A_TURN:
            result.record(f"{what}: last three repeats / first three", sum(samples[-3:]) / sum(samples[:3]))


def _series(context: Context, result: CaseResult, server: Server, repeats: int) -> bool:
    """Produce, consume what was produced, end to end, again and again; says whether the server lived through it."""
    batches = JOBS // BATCH
    phases: dict[str, Prepare] = {
        "produce": one_connection(server.tcp_port, lambda: _produce(batches)),
        "consume": one_connection(server.tcp_port, lambda: _consume(batches)),
        "end to end": one_connection(server.tcp_port, lambda: _end_to_end(batches)),
    }
    try:
        for _ in range(repeats):
            for what, prepare in phases.items():
                context.rate(result, what, [prepare], server)
    except LoadFailed as error:
        original.left_early(result, server, error)
        return False
    return True


def _request(command: dict[str, object]) -> bytes:
    return json.dumps(command).encode() + b"\n"


def _parsed(reply: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(reply)
    if answer.get("ok") is not True:
        raise LoadFailed(f"refused: {reply[:400]!r}")
    return answer


def _push(start: int) -> bytes:
    jobs = [{"name": "bench", "data": {"i": number}} for number in range(start, start + BATCH)]
    return _request({"cmd": "push_batch", "queue": QUEUE, "jobs": jobs})


def _produce(batches: int) -> Script:
    for batch in range(batches):
        _parsed((yield _push(batch * BATCH)))
    return batches * BATCH


def _consume(batches: int) -> Script:
    moved = 0
    for _ in range(batches):
        ids = [job["id"] for job in _parsed((yield _request({"cmd": "pull", "queue": QUEUE, "count": BATCH})))["jobs"]]
        _parsed((yield _request({"cmd": "ack_batch", "ids": ids})))
        moved += len(ids)
    if moved != batches * BATCH:
        raise LoadFailed(f"{moved} jobs were there instead of {batches * BATCH}")
    return moved


def _end_to_end(batches: int) -> Script:
    for batch in range(batches):
        _parsed((yield _push(batch * BATCH)))
        ids = [job["id"] for job in _parsed((yield _request({"cmd": "pull", "queue": QUEUE, "count": BATCH})))["jobs"]]
        _parsed((yield _request({"cmd": "ack_batch", "ids": ids})))
    return batches * BATCH
