"""Case `verbs`: microseconds of server CPU for a job, verb by verb, at default durability.

Batch verbs come from 4 connections and single verbs from 16, one command in flight on each, so that a group commit
holds as many commands as that. The load runs in this process: the ids that one verb answers are what the next needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.load import Script, many_connections
from benchmarks.processes import ForeignCpu, settle, tree_cpu_s
from benchmarks.results import CaseResult
from benchmarks.servers import Server

BATCH_JOBS = 40_000
SINGLE_JOBS = 8_000
BATCH_CONNECTIONS = 4
SINGLE_CONNECTIONS = 16
PUSH_US_MAX = 9.0

_PUSHED_IDS = re.compile(rb'"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"')


def run(context: Context, result: CaseResult) -> None:
    for _ in range(1 if context.quick else 3):
        context.wait_for_quiet()
        with context.starter.node() as node:
            _batch_verbs(context, result, node)
            _single_verbs(context, result, node)
    result.require("push_batch, µs/job", result.median("node", "push_batch of 50"), "at most", PUSH_US_MAX)


def _send_all(requests: Sequence[bytes], replies: list[bytes]) -> Script:
    for request in requests:
        replies.append(verbs.expect_ok((yield request)))
    return len(requests)


def _charge(result: CaseResult, node: Server, verb: str, requests: Sequence[bytes], jobs_each: int) -> list[bytes]:
    """Sends the requests and charges the node's CPU to their jobs; answers the replies."""
    connections = SINGLE_CONNECTIONS if jobs_each == 1 else BATCH_CONNECTIONS
    replies: list[bytes] = []

    def script(lane: int) -> Callable[[], Script]:
        return lambda: _send_all(requests[lane::connections], replies)

    run_load = many_connections(node.tcp_port, [script(lane) for lane in range(connections)])()
    settle(node.pids)
    foreign, before_s = ForeignCpu(), tree_cpu_s(node.pids)
    run_load()
    spent_us = (tree_cpu_s(node.pids) - before_s) * 1e6 / (len(requests) * jobs_each)
    result.foreign_cores.append(foreign.cores())
    result.add("node", verb, "µs/job", spent_us)
    say(f"  node             {verb:<20} {spent_us:8.1f} µs/job")
    return replies


def _uncharged(node: Server, requests: Sequence[bytes]) -> list[bytes]:
    """Sends lines that are charged to no verb and answers their replies."""
    replies: list[bytes] = []
    many_connections(node.tcp_port, [lambda: _send_all(requests, replies)])()()
    return replies


def _batch_verbs(context: Context, result: CaseResult, node: Server) -> None:
    batches = context.jobs(BATCH_JOBS) // verbs.BATCH
    _charge(result, node, "push_batch of 50", [verbs.push_batch_line("batch")] * batches, verbs.BATCH)
    pulled = _charge(result, node, "pull of 50", [verbs.pull_line("batch")] * batches, verbs.BATCH)
    acks = [verbs.ack_batch_line(verbs.ids_in(reply)) for reply in pulled]
    _charge(result, node, "ack_batch of 50", acks, verbs.BATCH)


def _by_id(verb: str, ids: Sequence[bytes], more: bytes = b"") -> list[bytes]:
    return [b'{"cmd":"%b","id":"%b"%b}\n' % (verb.encode(), job_id, more) for job_id in ids]


def _single_verbs(context: Context, result: CaseResult, node: Server) -> None:
    jobs = context.jobs(SINGLE_JOBS)
    spare = [verbs.push_batch_line("spare")] * (jobs // verbs.BATCH)
    replies = _uncharged(node, spare)
    waiting = [found for reply in replies for found in _PUSHED_IDS.findall(reply)]
    _charge(result, node, "cancel", _by_id("cancel", waiting), 1)
    push = verbs.line({"cmd": "push", "queue": "single", "name": "n", "data": verbs.PAYLOAD})
    pushed = _charge(result, node, "push", [push] * jobs, 1)
    ids = [found for reply in pushed for found in _PUSHED_IDS.findall(reply)]
    _charge(result, node, "get", _by_id("get", ids), 1)
    pull = verbs.line({"cmd": "pull", "queue": "single"})
    leased = [job for reply in _charge(result, node, "pull", [pull] * jobs, 1) for job in verbs.ids_in(reply)]
    _charge(result, node, "heartbeat", _by_id("heartbeat", leased), 1)
    _charge(result, node, "progress", _by_id("progress", leased, b',"progress":50'), 1)
    # Half are acknowledged and half fail; failing comes last, because the retries fall due a second later.
    half = len(leased) // 2
    _charge(result, node, "ack", _by_id("ack", leased[:half]), 1)
    _charge(result, node, "fail", _by_id("fail", leased[half:], b',"error":"no"'), 1)
