"""The judge: what clients saw against what the node holds now. Pure; knows nothing of processes or files.

It takes the calls of all clients and a snapshot (every job, the counts of every queue) and returns problems, each of a
kind: `lost` (acknowledged, but not there), `duplicated` (happened twice), `wrong` (there, but not as acknowledged, or
without anybody having asked for it). No problem means that every reply is explained by the state and the state by the
calls.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from rustqueue.history.lines import Call, CountsLine, JobLine, Line, Object
from rustqueue.model.times import from_text, to_text

T = TypeVar("T")

Kind = Literal["lost", "duplicated", "wrong"]


class Problem(NamedTuple):
    kind: Kind
    text: str


class Snapshot(NamedTuple):
    """The node's state through its public interface: jobs by id, counts by queue."""

    jobs: Mapping[str, Object]
    counts: Mapping[str, Mapping[str, int]]

    def lines(self) -> Iterator[Line]:
        """As the end of a history."""
        yield from map(JobLine, self.jobs.values())
        yield CountsLine({queue: dict(counts) for queue, counts in self.counts.items()})


class Ended(NamedTuple):
    """One try to end a lease, from `ack`, `ack_batch` or `fail`. `ok` is None when the outcome is unknown."""

    job_id: str
    token: str
    ok: bool | None
    result: Any
    error: str | None
    cancelled: bool
    will_retry: bool | None
    refused_with: str | None


class Lease(NamedTuple):
    job_id: str
    op: str
    fence: int
    token: str
    started_at_ms: int
    expires_at_ms: int


def judge(calls: Iterable[Call], snapshot: Snapshot) -> list[Problem]:
    """All problems of one history."""
    evidence = Evidence(list(calls))
    return [
        *_pushes(evidence, snapshot),
        *_leases(evidence, snapshot),
        *_completions(evidence, snapshot),
        *_failures(evidence, snapshot),
        *_cancels(evidence, snapshot),
        *_reads(evidence, snapshot),
        *_dependencies(snapshot),
        *_counts(snapshot),
    ]


class Grouped(dict[str, list[T]], Generic[T]):
    """Lists by key. Unlike a defaultdict it does not grow when it is read."""

    def add(self, key: str, value: T) -> None:
        self.setdefault(key, []).append(value)

    def __missing__(self, key: str) -> list[T]:
        return []


class Evidence:
    """The calls, sorted by what they say about each job. Built once, read by every check."""

    def __init__(self, calls: list[Call]) -> None:
        self.pushes: Grouped[Call] = Grouped()
        self.leases: Grouped[Lease] = Grouped()
        self.acks: Grouped[Ended] = Grouped()
        self.fails: Grouped[Ended] = Grouped()
        self.cancels: Grouped[Call] = Grouped()
        self.reads: list[Call] = []
        self.pulls_unknown = 0
        self.extended: dict[tuple[str, str], int] = {}
        for call in calls:
            self._sort(call)

    def _sort(self, call: Call) -> None:
        verb = call.request["cmd"]
        if verb in ("push", "push_batch"):
            self.pushes.add(call.op, call)
        elif verb == "pull":
            self.pulls_unknown += call.reply is None
            for lease in _leases_in(call):
                self.leases.add(lease.job_id, lease)
        elif verb in ("ack", "ack_batch", "fail"):
            ends = self.fails if verb == "fail" else self.acks
            for ended in _ends_in(call):
                ends.add(ended.job_id, ended)
        elif verb == "cancel":
            self.cancels.add(call.request["id"], call)
        elif verb in ("heartbeat", "progress"):
            self._extend(call)
        else:
            assert verb == "get", f"no client sends {verb}"
            self.reads.append(call)

    def _extend(self, call: Call) -> None:
        if call.reply is not None and call.reply["ok"]:
            # The jobs of one pull may have the same token.
            lease = (call.request["id"], call.request["attempt_token"])
            self.extended[lease] = max(self.extended.get(lease, 0), ms_of(call.reply["lease_expires_at"]))

    def may_be_gone(self, job_id: str, options: Object) -> bool:
        """Whether the job was to be removed on completion, and somebody completed it, or may have."""
        return bool(options.get("remove_on_complete")) and any(ended.ok is not False for ended in self.acks[job_id])


def ms_of(text: str) -> int:
    """A time of an answer. Texts do not compare: a whole second has no fraction."""
    at_ms = from_text(text)
    assert at_ms is not None, f"the node answers with times, not {text!r}"
    return at_ms


def _leases_in(call: Call) -> Iterator[Lease]:
    if call.reply is None or not call.reply["ok"]:
        return
    jobs = call.reply["jobs"] if "jobs" in call.reply else [call.reply["job"]]
    for job in jobs:
        if job is not None:
            yield Lease(
                job["id"],
                job["data"]["op"],
                job["fence"],
                job["attempt_token"],
                ms_of(job["started_at"]),
                ms_of(job["lease_expires_at"]),
            )


def _ends_in(call: Call) -> Iterator[Ended]:
    request, reply = call.request, call.reply
    items = request["items"] if request["cmd"] == "ack_batch" else [request]
    for position, item in enumerate(items):
        answer = reply
        # A batch that was refused as a whole (overload, shutdown) has no results.
        if request["cmd"] == "ack_batch" and reply is not None and "results" in reply:
            answer = reply["results"][position]
        yield Ended(
            job_id=item["id"],
            token=item["attempt_token"],
            ok=None if answer is None else answer["ok"],
            result=item.get("result"),
            error=item.get("error"),
            cancelled=item.get("cancelled", False),
            will_retry=None if answer is None else answer.get("will_retry"),
            refused_with=None if answer is None or answer["ok"] else answer["error"]["code"],
        )


def _pushes(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    """Every acknowledged push is there once and whole, every refused one is not, an unknown one is wholly or not."""
    by_op: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for job_id, job in snapshot.jobs.items():
        by_op[job["data"]["op"]][job["data"]["i"]].append(job_id)
    for op, there in by_op.items():
        if op not in evidence.pushes:
            yield Problem("wrong", f"{op}: {sum(map(len, there.values()))} jobs are there that nobody pushed")
        for position, ids in there.items():
            if len(ids) > 1:
                yield Problem("duplicated", f"{op}[{position}]: pushed once, there as {ids}")
    for op, tries in evidence.pushes.items():
        yield from _one_push(evidence, snapshot, op, tries, by_op.get(op, {}))


def _one_push(
    evidence: Evidence, snapshot: Snapshot, op: str, tries: list[Call], there: Mapping[int, list[str]]
) -> Iterator[Problem]:
    request = tries[0].request
    wanted = request["jobs"] if request["cmd"] == "push_batch" else [request]
    answers = [call.reply for call in tries if call.reply is not None and call.reply["ok"]]
    if answers:
        if any(_ids_of(answer) != _ids_of(answers[0]) for answer in answers):
            yield Problem("duplicated", f"{op}: repeats with one idempotency key gave different ids")
        yield from _acknowledged_push(evidence, snapshot, request["queue"], wanted, _ids_of(answers[0]))
    elif there and all(call.reply is not None for call in tries):
        yield Problem("wrong", f"{op}: refused, but jobs are there: {dict(there)}")
    elif there:
        missing = [position for position in range(len(wanted)) if position not in there]
        # Whoever never heard an id cannot have completed the job, but another client may have pulled it.
        if any(not wanted[position].get("remove_on_complete") for position in missing):
            yield Problem("wrong", f"{op}: half there: {len(there)} of {len(wanted)} jobs")


def _ids_of(reply: Object) -> list[str]:
    return list(reply["ids"]) if "ids" in reply else [reply["id"]]


SAME = ("name", "data", "priority", "unique_key", "custom_id", "tags", "metadata", "max_attempts")


def _acknowledged_push(
    evidence: Evidence, snapshot: Snapshot, queue: str, wanted: list[Object], ids: list[str]
) -> Iterator[Problem]:
    if len(ids) != len(wanted):
        yield Problem("lost", f"{len(wanted)} jobs pushed, {len(ids)} acknowledged: {ids}")
    for sent, job_id in zip(wanted, ids, strict=False):
        job = snapshot.jobs.get(job_id)
        if job is None:
            if not evidence.may_be_gone(job_id, sent):
                yield Problem("lost", f"{job_id}: its push was acknowledged, it is not there ({sent['data']['op']})")
            continue
        different = {key: job.get(key) for key in SAME if key in sent and job.get(key) != sent[key]}
        if job["queue"] != queue or different:
            yield Problem("wrong", f"{job_id}: not as it was pushed: {job['queue']} {different}")


def _leases(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    """One holder at a time. Times are those of the node's entries, so they can be compared exactly."""
    for job_id, job in snapshot.jobs.items():
        # A lease that nobody heard of came from a pull whose answer was lost.
        if evidence.pulls_unknown == 0 and job["fence"] > len(evidence.leases[job_id]):
            yield Problem(
                "wrong", f"{job_id}: leased {job['fence']} times, {len(evidence.leases[job_id])} pulls say so"
            )
    for job_id, leases in evidence.leases.items():
        if leases[0].op not in evidence.pushes:
            yield Problem("wrong", f"{job_id}: leased, but nobody pushed it ({leases[0].op})")
        ordered = sorted(leases, key=lambda lease: lease.fence)
        fences = Counter(lease.fence for lease in ordered)
        for fence, count in fences.items():
            if count > 1:
                yield Problem("duplicated", f"{job_id}: {count} pulls were given the lease with fence {fence}")
        now = snapshot.jobs.get(job_id)
        if now is not None and now["fence"] < ordered[-1].fence:
            yield Problem("lost", f"{job_id}: leased with fence {ordered[-1].fence}, now it has {now['fence']}")
        ended_early = {ended.token for ended in evidence.fails[job_id] if ended.ok is not False}
        for earlier, later in pairwise(ordered):
            expires_at_ms = max(earlier.expires_at_ms, evidence.extended.get((job_id, earlier.token), 0))
            if later.started_at_ms < expires_at_ms and earlier.token not in ended_early:
                yield Problem(
                    "duplicated",
                    f"{job_id}: fence {later.fence} began at {to_text(later.started_at_ms)}, "
                    f"fence {earlier.fence} was valid until {to_text(expires_at_ms)}",
                )


def _completions(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    for job_id, acks in evidence.acks.items():
        yield from _tries_to_complete(evidence, job_id, acks, snapshot.jobs.get(job_id))
    for job_id, job in snapshot.jobs.items():
        if job["state"] == "completed":
            possible = [ended.result for ended in evidence.acks[job_id] if ended.ok is not False]
            if job["result"] not in possible:
                yield Problem("wrong", f"{job_id}: completed with {job['result']}, which no accepted ack carried")


def _tries_to_complete(evidence: Evidence, job_id: str, acks: list[Ended], job: Object | None) -> Iterator[Problem]:
    leases = {lease.token: lease.fence for lease in evidence.leases[job_id]}
    done = {ended.token: ended for ended in acks if ended.ok}
    for ended in acks:
        if ended.token not in leases:
            yield Problem("wrong", f"{job_id}: acknowledged with a token that no pull gave")
        elif ended.refused_with == "JOB_NOT_FOUND" and job is not None:
            yield Problem("wrong", f"{job_id}: an ack was told that the job does not exist, but it does")
    if len(done) > 1:
        yield Problem("duplicated", f"{job_id}: completed under {len(done)} leases")
    for token, ended in done.items():
        if any(fence > leases.get(token, fence) for fence in leases.values()):
            yield Problem("duplicated", f"{job_id}: leased again after its completion was acknowledged")
        yield from _completed_as_told(job_id, ended, job)


def _completed_as_told(job_id: str, ended: Ended, job: Object | None) -> Iterator[Problem]:
    expected = "cancelled" if ended.cancelled else "completed"
    if job is None:
        return  # Whether it may be gone is judged with its push.
    if job["state"] != expected:
        yield Problem("lost", f"{job_id}: acknowledged as {expected}, it is {job['state']}")
    elif expected == "completed" and job["result"] != ended.result:
        yield Problem("wrong", f"{job_id}: acknowledged with {ended.result}, it holds {job['result']}")


def _failures(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    for job_id, job in snapshot.jobs.items():
        fails = evidence.fails[job_id]
        accepted = {ended.token for ended in fails if ended.ok}
        given = {lease.token for lease in evidence.leases[job_id]}
        if not given.issuperset(accepted):
            yield Problem("wrong", f"{job_id}: failed with a token that no pull gave")
        if job["attempt"] < len(accepted):
            yield Problem("lost", f"{job_id}: {len(accepted)} failures acknowledged, {job['attempt']} counted")
        if job["attempt"] > job["fence"]:
            yield Problem("wrong", f"{job_id}: {job['attempt']} failures from {job['fence']} leases")
        if any(ended.ok and ended.will_retry is False for ended in fails) and job["state"] != "dlq":
            yield Problem("lost", f"{job_id}: its last failure was acknowledged as final, it is {job['state']}")
        error = job["last_error"]
        if error is not None and error.startswith("boom ") and error not in {ended.error for ended in fails}:
            yield Problem("wrong", f"{job_id}: failed with {error!r}, which nobody sent")


def _cancels(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    for job_id, calls in evidence.cancels.items():
        job = snapshot.jobs.get(job_id)
        at_once = [call for call in calls if call.reply is not None and call.reply["ok"] and "status" not in call.reply]
        if at_once and job is not None and job["state"] != "cancelled":
            yield Problem("lost", f"{job_id}: its cancellation was acknowledged, it is {job['state']}")
    for job_id, job in snapshot.jobs.items():
        asked = any(call.reply is None or call.reply["ok"] for call in evidence.cancels[job_id])
        ended = any(end.cancelled and end.ok is not False for end in evidence.acks[job_id])
        if job["state"] == "cancelled" and not asked and not ended:
            yield Problem("wrong", f"{job_id}: cancelled, which nobody asked for")


def _reads(evidence: Evidence, snapshot: Snapshot) -> Iterator[Problem]:
    """What a read showed as final stays so: nothing is shown that a crash can take back. A read that says of itself
    that it may be old claims nothing.
    """
    for call in evidence.reads:
        if call.reply is None or call.reply.get("stale"):
            continue
        job_id = call.request["id"]
        now = snapshot.jobs.get(job_id)
        if not call.reply["ok"]:
            if now is not None:
                yield Problem("lost", f"{job_id}: a read did not find it, it is there now")
            continue
        seen = call.reply["job"]["state"]
        if seen in ("completed", "cancelled") and now is not None and now["state"] != seen:
            yield Problem("lost", f"{job_id}: a read showed it as {seen}, it is {now['state']}")


def _dependencies(snapshot: Snapshot) -> Iterator[Problem]:
    for job_id, job in snapshot.jobs.items():
        if job["state"] not in ("waiting", "active", "delayed", "completed") or job["on_parent_failure"] != "cascade":
            continue
        for parent_id in job["depends_on"]:
            parent = snapshot.jobs.get(parent_id)
            if parent is not None and parent["state"] != "completed":
                yield Problem("wrong", f"{job_id}: {job['state']}, but its parent {parent_id} is {parent['state']}")


COUNTED = ("waiting", "active", "delayed", "completed", "dlq", "blocked")


def _counts(snapshot: Snapshot) -> Iterator[Problem]:
    """Counters against rows, and unique keys against live jobs."""
    recounted: dict[str, Counter[str]] = defaultdict(Counter)
    keys: Counter[tuple[str, str]] = Counter()
    for job in snapshot.jobs.values():
        recounted[job["queue"]][job["state"]] += 1
        if job["unique_key"] is not None and job["state"] in ("waiting", "active", "delayed", "blocked"):
            keys[job["queue"], job["unique_key"]] += 1
    for queue in recounted.keys() | snapshot.counts.keys():
        told = {state: snapshot.counts.get(queue, {}).get(state, 0) for state in COUNTED}
        found = {state: recounted[queue][state] for state in COUNTED}
        if told != found:
            yield Problem("wrong", f"queue {queue}: counters say {told}, there are {found}")
    for (queue, key), count in keys.items():
        if count > 1:
            yield Problem("duplicated", f"queue {queue}: {count} live jobs with the unique key {key}")
