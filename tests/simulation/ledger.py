"""What must be true of every job, entry by entry, judged from the commands and replies of the log alone.

It must not look into the machine: it believes replies, and checks that no two contradict each other. The invariants
have the numbers of the list in tests/simulation/README.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from rustqueue.model import limits, times
from rustqueue.model.commands import Ack, AckBatch, Cancel, Command, Fail, Heartbeat, NewJob, Pull, PushJobs
from rustqueue.model.jobs import Job, JobOptions
from rustqueue.model.replies import (
    AckedBatch,
    Cancelled,
    Done,
    FailedJob,
    Leased,
    Pulled,
    PulledOne,
    Pushed,
    PushedBatch,
    Refused,
    Reply,
)

_NO_OPTIONS = JobOptions()


class _Word(msgspec.Struct):
    after: str


class _FollowUp(msgspec.Struct):
    data: _Word


class _Metadata(msgspec.Struct):
    follow_ups: list[_FollowUp]


_word = msgspec.json.Decoder(_Word)
_metadata = msgspec.json.Decoder(_Metadata)


class Violation(AssertionError):
    """An invariant is broken. The message begins with its number."""


def require(condition: bool, invariant: str, text: str) -> None:
    if not condition:
        raise Violation(f"{invariant}: {text}")


@dataclass(slots=True)
class JobFacts:
    """What the log has said of one job so far. `state` is what is known for certain; time may have moved it on."""

    id: str
    queue: str
    spec: NewJob
    ready_ms: int
    parents: list[str]
    state: str = "waiting"
    fence: int = 0
    token: str | None = None
    until_ms: int = 0
    attempts: int = 0

    @property
    def options(self) -> JobOptions:
        return self.spec.options or _NO_OPTIONS

    @property
    def unique_key(self) -> str | None:
        return self.options.unique_key

    def surely_alive(self, now_ms: int) -> bool:
        """Whether it cannot have ended by itself meanwhile."""
        if self.state == "active":
            return now_ms < self.until_ms
        return self.state == "waiting" and self.fence == 0 and not self.parents and self.options.ttl_ms is None


@dataclass(slots=True)
class Ledger:
    """All jobs of the log, in the order of their pushes."""

    jobs: dict[str, JobFacts] = field(default_factory=dict)
    acks_count: int = 0
    leases_count: int = 0
    follow_ups: dict[str, str] = field(default_factory=dict)
    """A job that declares a follow-up, and the word in the follow-up's data."""
    followed: dict[str, str] = field(default_factory=dict)
    """The same job, and its follow-up."""
    _answers: dict[str, tuple[Command, list[str], int]] = field(default_factory=dict)
    _holders: dict[tuple[str, str], str] = field(default_factory=dict)
    _handlers: dict[type, Callable[[int, Any, Any], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._handlers = {
            PushJobs: self._pushed,
            Pull: self._pulled,
            Ack: self._acked,
            AckBatch: self._acked_batch,
            Fail: self._failed,
            Heartbeat: self._renewed,
            Cancel: self._cancelled,
        }

    def entry(self, now_ms: int, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        """The next entry of the log with its replies."""
        for command, reply in zip(commands, replies, strict=True):
            handler = self._handlers.get(type(command))
            if handler is not None and not isinstance(reply, Refused):
                handler(now_ms, command, reply)

    # Pushes.

    def _pushed(self, now_ms: int, command: PushJobs, reply: Pushed | PushedBatch) -> None:
        ids = [reply.id] if isinstance(reply, Pushed) else reply.ids
        require(len(ids) == len(command.jobs), "I14", f"{len(ids)} ids for {len(command.jobs)} jobs")
        key = command.idempotency_key
        if key is not None:
            plain = msgspec.structs.replace(command, request_id=None)
            earlier, earlier_ids, until_ms = self._answers.get(key, (plain, ids, 0))
            if now_ms < until_ms:
                require(earlier == plain and earlier_ids == ids, "I3", f"key {key!r} made {ids}, before {earlier_ids}")
                return
            self._answers[key] = (plain, ids, now_ms + limits.IDEMPOTENCY_WINDOW_MS)
        for job_id, spec in zip(ids, command.jobs, strict=True):
            require(job_id not in self.jobs, "I2", f"job id {job_id} was given twice")
            self.jobs[job_id] = self._new_job(now_ms, job_id, command.queue, (spec, ids))

    def _new_job(self, now_ms: int, job_id: str, queue: str, pushed: tuple[NewJob, list[str]]) -> JobFacts:
        spec, batch_ids = pushed
        options = spec.options or _NO_OPTIONS
        parents = [batch_ids[parent] if isinstance(parent, int) else parent for parent in options.depends_on or []]
        if options.unique_key is not None:
            place = (queue, options.unique_key)
            holder = self.jobs.get(self._holders.get(place, ""))
            if holder is not None:
                require(not holder.surely_alive(now_ms), "I16", f"{holder.id} and {job_id} share {place}")
            self._holders[place] = job_id
        # A delay given with parents that are not through is dropped (contract A10).
        blocked = any(self._known(parent).state != "completed" for parent in parents if parent not in batch_ids)
        waits_ms = 0 if blocked or set(parents) & set(batch_ids) else options.delay_ms or 0
        if options.metadata is not UNSET:
            for wanted in _metadata.decode(options.metadata).follow_ups:
                self.follow_ups[job_id] = wanted.data.after
        return JobFacts(job_id, queue, spec, now_ms + waits_ms, parents)

    def _followed(self, job: Job) -> None:
        """A job that nobody pushed is that of a schedule, or the follow-up of a completed one, and the only one."""
        if bytes(job.data).startswith(b'{"of":'):
            self.jobs[job.id] = JobFacts(job.id, job.queue, NewJob(job.name, bytes(job.data), None), 0, [])
            return
        parent = job.depends_on[0] if job.depends_on else ""
        word = self.follow_ups.get(parent)
        require(word is not None and word == _word.decode(job.data).after, "I2", f"{job.id} was never pushed")
        require(parent not in self.followed, "I8", f"{job.id} and {self.followed.get(parent)} follow {parent}")
        self.followed[parent] = job.id
        self.jobs[job.id] = JobFacts(job.id, job.queue, NewJob(job.name, bytes(job.data), None), 0, [parent])

    # Leases.

    def _pulled(self, now_ms: int, command: Pull, reply: Pulled | PulledOne) -> None:
        jobs = reply.jobs if isinstance(reply, Pulled) else [reply.job] if reply.job is not None else []
        require(len(jobs) <= command.count, "I4", f"{len(jobs)} jobs for a pull of {command.count}")
        for job in jobs:
            require(job.queue == command.queue, "I2", f"{job.id} of {job.queue} came from {command.queue}")
            self._leased(now_ms, job)

    def _leased(self, now_ms: int, job: Job) -> None:
        if job.id not in self.jobs:
            self._followed(job)
        facts = self._known(job.id)
        require(facts.state in ("waiting", "active"), "I9", f"{job.id} is {facts.state} and was leased")
        if facts.state == "active":
            require(now_ms >= facts.until_ms, "I4", f"{job.id} is leased until {facts.until_ms}, leased at {now_ms}")
            facts.attempts += 1
        require(now_ms >= facts.ready_ms, "I11", f"{job.id} was leased at {now_ms}, before {facts.ready_ms}")
        for parent in facts.parents:
            state = self._known(parent).state
            require(state == "completed", "I12", f"{job.id} was leased while its parent {parent} was {state}")
        require(job.fence == facts.fence + 1, "I7", f"{job.id} has fence {job.fence} after {facts.fence}")
        require(job.attempt == facts.attempts, "I7", f"{job.id} has attempt {job.attempt}, not {facts.attempts}")
        allowed = max(job.max_attempts, 1)
        require(job.attempt < allowed, "I7", f"{job.id} was leased after {job.attempt} failures of {allowed} allowed")
        require(bytes(job.data) == facts.spec.data, "I1", f"{job.id} came with another payload")
        wanted = facts.options.priority
        require(wanted in (None, job.priority), "I10", f"{job.id} came with priority {job.priority}, not {wanted}")
        require(isinstance(job.attempt_token, str), "I5", f"{job.id} was leased without a token")
        facts.state, facts.fence, facts.token = "active", job.fence, str(job.attempt_token)
        facts.until_ms = _time(job.lease_expires_at)
        self.leases_count += 1

    def _holds(self, reference: str, token: str | None, doing: str) -> JobFacts:
        facts = self._known(reference)
        require(token == facts.token, "I5", f"{doing} of {reference} with token {token}, the last one is {facts.token}")
        return facts

    def _acked(self, now_ms: int, command: Ack, reply: Done) -> None:
        self._complete(command.id, command.attempt_token)

    def _acked_batch(self, now_ms: int, command: AckBatch, reply: AckedBatch) -> None:
        for item, result in zip(command.items or [], reply.results, strict=True):
            if result.ok:
                self._complete(item.id, item.attempt_token)

    def _complete(self, reference: str, token: str | None) -> None:
        facts = self._holds(reference, token, "ack")
        if facts.state == "completed":
            return  # A repeat with the completing token, which is what `_holds` has checked.
        require(facts.state == "active", "I9", f"{reference} is {facts.state} and was acked")
        facts.state = "completed"
        self.acks_count += 1

    def _failed(self, now_ms: int, command: Fail, reply: FailedJob) -> None:
        facts = self._holds(command.id, command.attempt_token, "fail")
        require(facts.state == "active", "I9", f"{command.id} is {facts.state} and was failed")
        facts.attempts += 1
        facts.state = "waiting" if reply.will_retry else "dlq"
        if reply.next_attempt_at is not None:
            facts.ready_ms = _time(reply.next_attempt_at)
            require(facts.ready_ms >= now_ms, "I11", f"{command.id} may be tried before it failed")

    def _renewed(self, now_ms: int, command: Heartbeat, reply: Leased) -> None:
        facts = self._holds(command.id, command.attempt_token, "heartbeat")
        require(facts.state == "active", "I9", f"{command.id} is {facts.state} and had a heartbeat")
        until_ms = _time(reply.lease_expires_at)
        require(until_ms >= facts.until_ms, "I4", f"a heartbeat shortened the lease of {command.id}")
        facts.until_ms = until_ms

    def _cancelled(self, now_ms: int, command: Cancel, reply: Reply) -> None:
        facts = self._known(command.id)
        if isinstance(reply, Cancelled):
            idle = facts.state == "waiting" or (facts.state == "active" and now_ms >= facts.until_ms)
            require(idle, "I9", f"{command.id} is {facts.state} and was cancelled")
            facts.state = "cancelled"
        else:
            require(facts.state == "active", "I9", f"{command.id} is {facts.state} and was asked to stop")

    def _known(self, reference: str) -> JobFacts:
        require(reference in self.jobs, "I2", f"{reference} was never pushed")
        return self.jobs[reference]


def _time(text: object) -> int:
    at_ms = times.from_text(text) if isinstance(text, str) else None
    require(at_ms is not None, "I11", f"{text!r} is no time")
    return at_ms or 0
