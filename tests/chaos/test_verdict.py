"""The judge of the crash test is judged: a true history passes, and every kind of lie is seen.

The history is made by the real machine over a store in memory, so that its replies are those of a node.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import msgspec
import pytest

from rustqueue.history.lines import Broken, Call, Down, Event, Line, Object, decode_line, encode_line
from rustqueue.history.verdict import Problem, Snapshot, judge
from rustqueue.machine.machine import Machine
from rustqueue.machine.queries import answer
from rustqueue.model.commands import SecretCommand, Tick
from rustqueue.model.entry import ENTRY_VERSION, Entry
from rustqueue.model.queries import Get, JobList, ListQueues, Read, ShellQuery
from rustqueue.model.wire import decode_request, encode_command
from rustqueue.storage.memory import MemoryKV

BEGIN_MS = 1_800_000_000_000


class World:
    """A machine, its clients' calls, and a clock that moves when told."""

    def __init__(self) -> None:
        self.machine = Machine(MemoryKV())
        self.calls: list[Call] = []
        self.now_ms = BEGIN_MS
        self._numbers = count(1)

    def ask(self, *, heard: bool = True, op: str | None = None, **request: Any) -> Object:
        """Carry out a command; `heard` False: the reply was lost on its way."""
        op = op or f"op-{next(self._numbers)}"
        text = json.dumps(request).encode()
        asked = decode_request(text)
        if isinstance(asked, Get):
            reply = answer(self.machine, asked)
        else:
            assert not isinstance(asked, Read | ShellQuery | SecretCommand)
            [reply] = self.machine.apply(self.machine.applied_index + 1, self._entry(text), [asked])
        told: Object = json.loads(msgspec.json.encode(reply))
        self.calls.append(Call("c", op, request, told if heard else None, self.now_ms, self.now_ms))
        return told

    def wait(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        text = encode_command(Tick())
        self.machine.apply(self.machine.applied_index + 1, self._entry(text))

    def push(self, size: int = 1, *, heard: bool = True, **options: Any) -> list[str]:
        op = f"push-{next(self._numbers)}"
        jobs = [{"name": "work", "data": {"op": op, "i": i, "of": size}, **options} for i in range(size)]
        reply = self.ask(heard=heard, op=op, cmd="push_batch", queue="q", jobs=jobs)
        return list(reply["ids"])

    def pull(self, size: int, *, heard: bool = True) -> list[Object]:
        jobs = self.ask(heard=heard, cmd="pull", queue="q", count=size, lease_ms=1_000)["jobs"]
        return [{"id": job["id"], "attempt_token": job["attempt_token"]} for job in jobs]

    def snapshot(self) -> Snapshot:
        page = json.loads(msgspec.json.encode(answer(self.machine, JobList(limit=1_000))))
        queues = json.loads(msgspec.json.encode(answer(self.machine, ListQueues())))["queues"]
        return Snapshot({job["id"]: job for job in page["jobs"]}, {queue["name"]: queue["counts"] for queue in queues})

    def problems(self) -> list[Problem]:
        return judge(self.calls, self.snapshot())

    def _entry(self, text: bytes) -> Entry:
        seed = hashlib.blake2b(b"%d" % self.machine.applied_index, digest_size=16).digest()
        return Entry(ENTRY_VERSION, 1, self.now_ms, seed, [text])


def a_history() -> World:
    """Every way a job can go: done, failed and done, dead, cancelled, removed on completion, leased, waiting."""
    world = World()
    world.push(1)
    world.push(3)
    world.push(1, remove_on_complete=True)
    world.push(1, max_attempts=1)
    world.push(2, unique_key=None)
    done, retried, walked_away, batched, removed, dead = world.pull(6)
    world.ask(cmd="ack", **done, result={"by": "w"})
    world.ask(cmd="heartbeat", **walked_away)
    world.ask(cmd="fail", **retried, error="boom once")
    world.ask(cmd="ack_batch", items=[{**batched, "result": 1}, {**removed, "result": 2}])
    world.ask(cmd="fail", **dead, error="boom for good")
    world.ask(cmd="get", id=done["id"])
    waiting = [job_id for job_id, job in world.snapshot().jobs.items() if job["state"] == "waiting"]
    world.ask(cmd="cancel", id=waiting[0])
    world.wait(1_500)
    world.wait(5_000)
    again = world.pull(2)
    world.ask(cmd="ack", **again[0], result="second try")
    world.push(1)
    return world


def test_a_true_history_has_no_problems() -> None:
    assert a_history().problems() == []


def acknowledged_lines() -> list[int]:
    told = ("push_batch", "pull", "ack", "ack_batch", "fail", "cancel")
    return [place for place, call in enumerate(a_history().calls) if call.request["cmd"] in told]


@pytest.mark.parametrize("place", acknowledged_lines())
def test_one_acknowledged_line_removed_is_seen(place: int) -> None:
    world = a_history()
    del world.calls[place]
    assert world.problems() != []


def test_one_job_missing_is_lost() -> None:
    world = a_history()
    state = world.snapshot()
    for missing in state.jobs:
        jobs = {job_id: job for job_id, job in state.jobs.items() if job_id != missing}
        counts = {"q": {**state.counts["q"]}}
        kinds = {problem.kind for problem in judge(world.calls, Snapshot(jobs, counts))}
        assert "lost" in kinds


def test_a_job_that_is_there_twice_is_duplicated() -> None:
    world = a_history()
    state = world.snapshot()
    job_id, job = next(iter(state.jobs.items()))
    twice = {**state.jobs, "copy": {**job, "id": "copy"}}
    kinds = [problem.kind for problem in judge(world.calls, Snapshot(twice, state.counts))]
    assert job_id != "copy"
    assert "duplicated" in kinds


def with_state(state: str, **values: Any) -> Callable[[Object], Object]:
    return lambda job: {**job, "state": state, **values}


@pytest.mark.parametrize(
    ("of", "change", "kind"),
    [
        ("completed", with_state("waiting"), "lost"),
        ("completed", with_state("completed", result="another"), "wrong"),
        ("cancelled", with_state("waiting"), "lost"),
        ("dlq", with_state("waiting"), "lost"),
        ("dlq", lambda job: {**job, "attempt": 0}, "lost"),
        ("waiting", with_state("cancelled"), "wrong"),
        ("waiting", with_state("completed", result=7), "wrong"),
        ("waiting", lambda job: {**job, "queue": "other"}, "wrong"),
        ("waiting", lambda job: {**job, "data": {**job["data"], "op": "unknown"}}, "wrong"),
    ],
)
def test_a_job_that_is_not_as_acknowledged_is_seen(of: str, change: Callable[[Object], Object], kind: str) -> None:
    world = a_history()
    state = world.snapshot()
    jobs = dict(state.jobs)
    changed = next(job_id for job_id, job in jobs.items() if job["state"] == of)
    jobs[changed] = change(jobs[changed])
    assert kind in {problem.kind for problem in judge(world.calls, Snapshot(jobs, state.counts))}


def test_a_push_of_unknown_outcome_may_be_there_or_not_but_not_half() -> None:
    # Given a batch whose answer was lost
    world = World()
    ids = world.push(3, heard=False)
    state = world.snapshot()
    assert judge(world.calls, state) == []
    # When none of it is there, that is fine too; when a part is there, it is not
    nothing: Mapping[str, Object] = {}
    assert judge(world.calls, Snapshot(nothing, {})) == []
    half = {job_id: state.jobs[job_id] for job_id in ids[:2]}
    found = judge(world.calls, Snapshot(half, {"q": {"waiting": 2}}))
    assert [problem.kind for problem in found] == ["wrong"]
    assert found[0].text.endswith("half there: 2 of 3 jobs")


def test_a_lease_given_twice_is_seen() -> None:
    # Given a job that was leased, and the same lease told to a second worker
    world = World()
    world.push(1)
    world.pull(2)
    world.calls.append(world.calls[-1])
    assert "duplicated" in {problem.kind for problem in world.problems()}


def test_a_lease_given_while_another_is_valid_is_seen() -> None:
    # Given a job leased, given back by time, and leased again
    world = World()
    world.push(1)
    world.ask(cmd="pull", queue="q", count=2, lease_ms=1_000)
    world.wait(5_000)
    world.wait(5_000)
    world.ask(cmd="pull", queue="q", count=2, lease_ms=1_000)
    assert world.problems() == []
    # When the second lease began before the first one ended
    told = msgspec.json.decode(msgspec.json.encode(world.calls[-1].reply))
    told["jobs"][0]["started_at"] = world.calls[1].reply["jobs"][0]["started_at"]  # type: ignore[index]
    world.calls[-1] = msgspec.structs.replace(world.calls[-1], reply=told)
    assert [problem.kind for problem in world.problems()] == ["duplicated"]


def test_a_lease_that_began_after_a_whole_second_is_no_duplicate() -> None:
    # Given a lease that was valid until a whole second, whose text has no fraction, and one that began within it
    world = World()
    world.push(1)
    world.ask(cmd="pull", queue="q", count=2, lease_ms=1_000)
    world.wait(5_000)
    world.wait(5_000)
    world.ask(cmd="pull", queue="q", count=2, lease_ms=1_000)
    told = [msgspec.json.decode(msgspec.json.encode(world.calls[place].reply)) for place in (1, -1)]
    told[0]["jobs"][0]["lease_expires_at"] = "2026-11-22T10:37:50Z"
    told[1]["jobs"][0]["started_at"] = "2026-11-22T10:37:50.848Z"
    for place, reply in zip((1, -1), told, strict=True):
        world.calls[place] = msgspec.structs.replace(world.calls[place], reply=reply)
    # Then there is nothing wrong
    assert world.problems() == []


def test_counters_that_disagree_are_seen() -> None:
    world = a_history()
    state = world.snapshot()
    counts = {"q": {**state.counts["q"], "waiting": state.counts["q"]["waiting"] + 1}}
    assert [problem.kind for problem in judge(world.calls, Snapshot(state.jobs, counts))] == ["wrong"]


def test_lines_of_the_history_come_back_as_they_were() -> None:
    lines: list[Line] = [
        Call("c", "op", {"cmd": "get", "id": "x"}, None, 1, 2),
        Down("c"),
        Broken("c", "why"),
        Event("kill", 3, {"n": 1}),
    ]
    assert [decode_line(encode_line(line)) for line in lines] == lines
