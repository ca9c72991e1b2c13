"""Driving a machine by hand: commands as clients write them, at times the test says, audited after every entry.

The rig encodes each command as JSON and brings it through the one decoder, so tests speak the language of TCP. Ids and
draws come from the entry's index, so a test that is run again sees the same ones.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from rustqueue.effects.webhooks.guard import Rules
from rustqueue.effects.webhooks.preparing import preparing
from rustqueue.machine import queries
from rustqueue.machine.audit import audit
from rustqueue.machine.machine import Machine
from rustqueue.machine.ready import WindowLimits
from rustqueue.model import times
from rustqueue.model.commands import Command, Configure, JobCreate, Tick
from rustqueue.model.entry import Entry
from rustqueue.model.errors import ApiError
from rustqueue.model.events import Event, JobsChanged, QueueChanged
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import Refused, Reply, status_of
from rustqueue.model.wire import creation, decode_request, encode_command
from rustqueue.seal import Sealer
from rustqueue.storage.memory import MemoryKV

START_MS = 1_764_000_000_000
"""2025-11-24T16:00:00Z, a whole second."""

Json = dict[str, Any]

SEALER = Sealer([bytes(range(32))])
PREPARING = preparing(SEALER, lambda: Rules.of(["127.0.0.0/8"], [80, 443], []))
PREPARED = {str(kind.__struct_config__.tag) for kind in PREPARING}
"""Verbs that the gateway turns into others."""


def plain(reply: Reply) -> Json:
    """A reply as a client reads it."""
    value: Json = msgspec.json.decode(msgspec.json.encode(reply))
    return value


def at(after_ms: int) -> str:
    """The text of a time after the start."""
    return times.to_text(START_MS + after_ms)


def a_job(**fields: Any) -> Json:
    """The whole job object of a waiting job without options, pushed at the start."""
    job: Json = {
        "custom_id": None,
        "name": "work",
        "queue": "q",
        "data": {},
        "result": None,
        "state": "waiting",
        "progress": None,
        "logs": [],
        "priority": 0,
        "delay_until": None,
        "created_at": at(0),
        "updated_at": at(0),
        "started_at": None,
        "completed_at": None,
        "max_attempts": 3,
        "attempt": 0,
        "backoff": "exponential",
        "backoff_delay_ms": 1_000,
        "last_error": None,
        "ttl_ms": None,
        "timeout_ms": 300_000,
        "unique_key": None,
        "tags": [],
        "group_id": None,
        "depends_on": [],
        "flow_id": None,
        "lifo": False,
        "remove_on_complete": False,
        "remove_on_fail": False,
        "worker_id": None,
        "last_heartbeat": None,
        "fence": 0,
        "max_backoff_ms": None,
        "on_parent_failure": "cascade",
        "traceparent": None,
    }
    return {**job, **fields}


class Rig:
    """A machine over a memory store, the clock that stamps its entries, and what it has told."""

    def __init__(self, windows: WindowLimits | None = None, defaults: NodeDefaults | None = None) -> None:
        self.kv = MemoryKV()
        self.windows = windows or WindowLimits()
        self.now_ms = START_MS
        self.log: list[Entry] = []
        self.events: list[Event] = []
        self.machine = self._open()
        self.audited = True
        if defaults is not None:
            self.apply(Configure(defaults=defaults))

    def _open(self) -> Machine:
        machine = Machine(self.kv, WindowLimits(self.windows.jobs_max, self.windows.bytes_max))
        machine.publish = lambda _index, _now_ms, events: self.events.extend(events)
        return machine

    def reopen(self) -> None:
        """What a restart does: a new machine over the same rows."""
        self.machine = self._open()

    def apply(self, *commands: Json | Command | JobCreate) -> list[Reply]:
        """All commands as one entry, at the present time."""
        decoded = [self.decoded(command) for command in commands]
        blobs = [
            encode_command(prepared) if isinstance(command, dict) and command["cmd"] in PREPARED else encode(command)
            for command, prepared in zip(commands, decoded, strict=True)
        ]
        index = self.machine.applied_index + 1
        # Ids take their order inside a millisecond from the first half, so they are in order of entries here.
        seed = (index << 16).to_bytes(8, "big") + blake2b(b"%d" % index, digest_size=8).digest()
        entry = Entry(1, 1, self.now_ms, seed, blobs)
        self.log.append(entry)
        replies = self.machine.apply(index, entry, decoded)
        if self.audited:
            assert audit(self.kv) == []
        return replies

    @staticmethod
    def decoded(command: Json | Command | JobCreate) -> Command:
        """As the gateway proposes it: what holds a secret is prepared."""
        if isinstance(command, JobCreate):
            return creation(command)
        if not isinstance(command, dict):
            return command
        request: Any = decode_request(encode(command))
        step = PREPARING.get(type(request))
        decoded: Command = request if step is None else step(request).command
        return decoded

    def do(self, cmd: str, **fields: Any) -> Json:
        """One command that must succeed."""
        (reply,) = self.apply({"cmd": cmd, **fields})
        assert not isinstance(reply, Refused), reply
        return plain(reply)

    def all(self, *commands: Json) -> list[Json]:
        """Several commands in one entry."""
        return [plain(reply) for reply in self.apply(*commands)]

    def refused(self, cmd: str, **fields: Any) -> tuple[int, str, Json | None]:
        """One command that must be refused: its HTTP status, code and details. Nothing may have changed."""
        before, digest = self.rows(), self.machine.state_hash
        (reply,) = self.apply({"cmd": cmd, **fields})
        assert isinstance(reply, Refused), reply
        assert self.rows() == before
        assert self.machine.state_hash == digest
        return reply.status, reply.error.code, reply.error.details

    def status(self, cmd: str, **fields: Any) -> int:
        (reply,) = self.apply({"cmd": cmd, **fields})
        return status_of(reply)

    def ask(self, cmd: str, **fields: Any) -> Json:
        query: Any = decode_request(msgspec.json.encode({"cmd": cmd, **fields}))
        return plain(queries.answer(self.machine, query))

    def unanswered(self, cmd: str, **fields: Any) -> tuple[int, str]:
        """A query that must be refused."""
        try:
            answer = self.ask(cmd, **fields)
        except ApiError as error:
            return error.status, error.code
        raise AssertionError(answer)

    def tick(self, after_ms: int = 0) -> None:
        """Time passes, and one tick is applied."""
        self.now_ms += after_ms
        self.apply(Tick())

    def wait(self, after_ms: int) -> None:
        """Time passes as it does in a node: a tick whenever something is due, until the given time."""
        end_ms = self.now_ms + after_ms
        while (due_ms := self.machine.next_due_ms()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.apply(Tick())
        self.now_ms = end_ms

    def push(self, queue: str = "q", name: str = "work", **fields: Any) -> str:
        """Push one job; returns its id."""
        text: str = self.do("push", queue=queue, name=name, **fields)["id"]
        return text

    def push_many(self, count: int, queue: str = "q", **fields: Any) -> list[str]:
        ids: list[str] = []
        while len(ids) < count:
            jobs = [{"name": "work", **fields} for _ in range(min(1_000, count - len(ids)))]
            ids += self.do("push_batch", queue=queue, jobs=jobs)["ids"]
        return ids

    def pull(self, count: int = 1, queue: str = "q", **fields: Any) -> list[Json]:
        """Lease jobs; always a list."""
        reply = self.do("pull", queue=queue, count=count, **fields)
        jobs: list[Json] = reply["jobs"] if count != 1 else [reply["job"]] if reply["job"] is not None else []
        return jobs

    def pulled(self, count: int = 1, queue: str = "q", **fields: Any) -> list[str]:
        return [job["id"] for job in self.pull(count, queue, **fields)]

    def kill(self, job_id: str, error: str = "boom") -> None:
        """Bring a waiting job to the DLQ, whatever else waits: it must be the next one of its queue."""
        queue = self.job(job_id)["queue"]
        assert self.pulled(queue=queue) == [job_id]
        while self.do("fail", id=job_id, error=error)["retry"]:
            self.do("job_retry", id=job_id)
            assert self.pulled(queue=queue) == [job_id]

    def job(self, job_id: str) -> Json:
        found: Json = self.ask("get", id=job_id)["job"]
        return found

    def state(self, job_id: str) -> str:
        try:
            text: str = self.job(job_id)["state"]
        except ApiError as error:
            return error.code
        return text

    def states(self, *ids: str) -> list[str]:
        return [self.state(job_id) for job_id in ids]

    def counts(self, queue: str = "q") -> Json:
        """The counts that are not zero."""
        counted: Json = self.ask("stats", queue=queue)["counts"]
        return {state: count for state, count in counted.items() if count}

    def told(self) -> list[tuple[str, Any]]:
        """What happened to jobs and queues since the last call, as (event, ids or queue)."""
        told: list[tuple[str, Any]] = [
            (event.event, [id_text(job_id) for job_id in event.ids] if isinstance(event, JobsChanged) else event.queue)
            for event in self.events
            if isinstance(event, JobsChanged | QueueChanged)
        ]
        self.events.clear()
        return told

    def rows(self) -> dict[bytes, bytes]:
        """All rows but the meta row."""
        return {key: value for key, value in self.scan() if key != b"m"}

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self.kv.scan(b"", b"\xff", 10_000_000)


def encode(command: Json | Command | JobCreate) -> bytes:
    return msgspec.json.encode(command) if isinstance(command, dict) else encode_command(command)
