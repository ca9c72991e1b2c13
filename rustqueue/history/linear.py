"""Whether the calls on each job can be put into one order: each at some moment between its call and its answer, each
answered as a queue must answer that holds just this job. The search is that of Wing and Gong with the memory that Lowe
added: what was put in order and what state that left is tried once.

A job is `absent`, `pending` (waiting, delayed or blocked), `active`, `completed`, `cancelled`, `dlq` or `gone`, and has
the fence of its latest lease. Time moves it as well: a lease ends, an attempt was the last one, a parent failed. A call
of unknown outcome may have happened at any moment from its start on, or never. A lease that nobody heard of came from a
pull: from one of unknown outcome, or from one that was answered, since a node may send a pull to the next leader when
it has lost the one before. Such leases are counted.

It must not know other jobs. Invariant: a search that was given up is told apart from one that found an order.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

from rustqueue.history.lines import Call, Object
from rustqueue.history.verdict import Evidence, Problem, Snapshot

Phase = Literal["absent", "pending", "active", "completed", "cancelled", "dlq", "gone"]
SEEN_AS: Final[dict[str, Phase]] = {
    "waiting": "pending",
    "delayed": "pending",
    "blocked": "pending",
    "active": "active",
    "completed": "completed",
    "cancelled": "cancelled",
    "dlq": "dlq",
}
STEPS_MAX: Final = 200_000
FOR_EVER: Final = 1 << 62


class State(NamedTuple):
    phase: Phase
    fence: int


ABSENT: Final = State("absent", 0)
Move = Callable[[State], Iterable[State]]
"""The states that a call can leave behind, none if it cannot be answered so."""


class Op(NamedTuple):
    """A call on one job. Without an end its outcome is unknown: it need not have happened."""

    text: str
    start_us: int
    end_us: int
    known: bool
    move: Move


class Linear(NamedTuple):
    """What came of all searches."""

    jobs: int
    illegal: list[Problem]
    undecided: int
    unheard: int
    """Leases that no client was told of."""


def check_orders(evidence: Evidence, snapshot: Snapshot, calls: Iterable[Call]) -> Linear:
    """Search an order for each job that anybody heard of."""
    histories = _Histories(evidence, snapshot)
    heard = list(calls)
    for call in heard:
        histories.learn(call)
    for call in heard:
        histories.add(call)
    illegal: list[Problem] = []
    undecided = 0
    jobs = histories.complete()
    for job_id, (ops, drift) in jobs.items():
        found = has_order(ops, drift)
        if found is None:
            undecided += 1
        elif not found:
            told = "; ".join(op.text for op in sorted(ops, key=lambda op: op.start_us))
            illegal.append(Problem("wrong", f"{job_id}: no order of its calls makes sense: {told}"))
    return Linear(len(jobs), illegal, undecided, histories.unheard)


def has_order(ops: list[Op], drift: Move, steps_max: int = STEPS_MAX) -> bool | None:
    """Whether there is one; None when that took too many steps to find out."""
    ops = sorted(ops, key=lambda op: op.start_us)
    needed = sum(1 << place for place, op in enumerate(ops) if op.known)
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, ABSENT)]
    for _ in range(steps_max):
        if not stack:
            return False
        done, state = stack.pop()
        if done & needed == needed:
            return True
        reachable = _closure(state, drift)
        for place in _next(ops, done):
            for before in reachable:
                for after in ops[place].move(before):
                    step = (done | 1 << place, after)
                    if step not in seen:
                        seen.add(step)
                        stack.append(step)
    return None


def _next(ops: list[Op], done: int) -> Iterator[int]:
    """Calls that can be next: none that is still open may have ended before they began."""
    deadline_us = min(op.end_us for place, op in enumerate(ops) if op.known and not done >> place & 1)
    # Backwards, so that the earliest is popped first: mostly the order is that of the calls.
    for place in range(len(ops) - 1, -1, -1):
        if not done >> place & 1 and ops[place].start_us <= deadline_us:
            yield place


def _closure(state: State, drift: Move) -> list[State]:
    """Where time alone can bring it."""
    reachable = [state]
    for each in reachable:
        reachable += [other for other in drift(each) if other not in reachable]
    return reachable


def drift_of(options: Object, asked_to_stop: bool) -> Move:
    """What time does to a job that was pushed with these options."""

    def drift(state: State) -> Iterator[State]:
        phase, fence = state
        if phase == "active":
            yield State("pending", fence)
            yield State("dlq", fence)
            if asked_to_stop:
                yield State("cancelled", fence)
        elif phase == "pending":
            # The time to live is over, or a parent failed.
            yield State("dlq", fence)
            if options.get("depends_on"):
                yield State("cancelled", fence)
        elif (phase == "completed" and options.get("remove_on_complete")) or (
            phase == "dlq" and options.get("remove_on_fail")
        ):
            yield State("gone", fence)

    return drift


# The moves.


def pushed(state: State) -> Iterator[State]:
    # A repeat with the same key finds the job there.
    yield State("pending", 0) if state.phase == "absent" else state


def leased(fence: int) -> Move:
    return lambda state: [State("active", fence)] if state == ("pending", fence - 1) else []


def held(fence: int) -> Move:
    return lambda state: [state] if state == ("active", fence) else []


def ended(fence: int, *phases: Phase) -> Move:
    """By whoever holds the lease; an ack may be repeated, and is answered as before."""

    def move(state: State) -> Iterator[State]:
        if state == ("active", fence):
            for phase in phases:
                yield State(phase, fence)
        elif state.fence == fence and state.phase in phases and state.phase in ("completed", "cancelled"):
            yield state

    return move


def cancelled(state: State) -> Iterator[State]:
    if state.phase == "pending":
        yield State("cancelled", state.fence)


def seen(phase: Phase, fence: int | None) -> Move:
    return lambda state: [state] if state.phase == phase and fence in (None, state.fence) else []


def missing(state: State) -> list[State]:
    return [state] if state.phase in ("absent", "gone") else []


class _Histories:
    """The calls of all clients, sorted by job."""

    def __init__(self, evidence: Evidence, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._ops: dict[str, list[Op]] = {}
        self._options: dict[str, Object] = {}
        self._stopped: set[str] = set()
        self._fences = {
            job_id: {lease.token: lease.fence for lease in leases} for job_id, leases in evidence.leases.items()
        }
        self._ids: dict[tuple[str, int], str] = {
            (job["data"]["op"], job["data"]["i"]): job_id for job_id, job in snapshot.jobs.items()
        }
        self._first_pull_us = FOR_EVER
        self._end_us = 0
        self.unheard = 0

    def learn(self, call: Call) -> None:
        """Which job came of which push, also of one whose outcome its client did not hear: a repeat of it was answered,
        or a worker got the job. At the end the job may be gone.
        """
        request, reply = call.request, call.reply
        if reply is None or not reply["ok"]:
            return
        if request["cmd"] in ("push", "push_batch"):
            ids = reply["ids"] if "ids" in reply else [reply["id"]]
            self._ids.update(((call.op, place), job_id) for place, job_id in enumerate(ids))
        elif request["cmd"] == "pull":
            jobs = reply["jobs"] if "jobs" in reply else [reply.get("job")]
            self._ids.update(((job["data"]["op"], job["data"]["i"]), job["id"]) for job in jobs if job is not None)

    def add(self, call: Call) -> None:
        self._end_us = max(self._end_us, call.end_us)
        verb = call.request["cmd"]
        if verb in ("push", "push_batch"):
            self._add_push(call)
        elif verb == "pull":
            self._add_pull(call)
        elif verb == "ack_batch":
            results = None if call.reply is None else call.reply.get("results")
            for place, item in enumerate(call.request["items"]):
                if call.reply is None or results is not None:
                    self._add_end(call, item, None if results is None else results[place])
        elif verb in ("ack", "fail", "heartbeat", "progress"):
            self._add_end(call, call.request, call.reply)
        elif verb == "cancel":
            self._add_cancel(call)
        elif call.reply is not None and not call.reply.get("stale"):
            self._add_read(call, call.reply)

    def complete(self) -> dict[str, tuple[list[Op], Move]]:
        """With the leases that nobody heard of, and the state at the end as the last read."""
        for job_id, ops in self._ops.items():
            job = self._snapshot.jobs.get(job_id)
            last = Call("state", "state", {"id": job_id}, None, self._end_us + 1, self._end_us + 2)
            self._put(job_id, last, "at the end " + _shown(job), missing if job is None else _saw(job))
            fences = set(self._fences.get(job_id, {}).values())
            known = max([*fences, 0 if job is None else job["fence"]])
            for fence in set(range(1, known + 1)) - fences:
                self.unheard += 1
                ops.append(Op(f"unheard lease {fence}", self._first_pull_us, FOR_EVER, False, leased(fence)))
        return {
            job_id: (ops, drift_of(self._options.get(job_id, {}), job_id in self._stopped))
            for job_id, ops in self._ops.items()
        }

    def _put(self, job_id: str, call: Call, text: str, move: Move, known: bool = True) -> None:
        told = f"{call.start_us}-{call.end_us if known else '?'} {text}"
        op = Op(told, call.start_us, call.end_us if known else FOR_EVER, known, move)
        self._ops.setdefault(job_id, []).append(op)

    def _add_push(self, call: Call) -> None:
        request, reply = call.request, call.reply
        jobs = request["jobs"] if request["cmd"] == "push_batch" else [request]
        for place, job in enumerate(jobs):
            if reply is None:
                # Whoever pulled it, or the end, tells the id; without them there is nothing to check.
                job_id = self._ids.get((call.op, place))
            elif reply["ok"]:
                job_id = reply["ids"][place] if "ids" in reply else reply["id"]
            else:
                continue
            if job_id is not None:
                self._options[job_id] = job
                self._put(job_id, call, "push", pushed, reply is not None)

    def _add_pull(self, call: Call) -> None:
        self._first_pull_us = min(self._first_pull_us, call.start_us)
        if call.reply is None:
            return
        jobs = call.reply["jobs"] if "jobs" in call.reply else [call.reply.get("job")]
        for job in jobs:
            if job is not None:
                self._put(job["id"], call, f"lease {job['fence']}", leased(job["fence"]))

    def _add_end(self, call: Call, item: Object, answer: Object | None) -> None:
        verb, job_id = call.request["cmd"], item["id"]
        fence = self._fences.get(job_id, {}).get(item["attempt_token"])
        if answer is not None and not answer["ok"]:
            # Stale may mean lapsed, which nobody sees from outside.
            if answer["error"]["code"] == "JOB_NOT_FOUND":
                self._put(job_id, call, f"{verb}: not there", missing)
        elif fence is not None:
            self._put(job_id, call, f"{verb} {fence}", _end_move(verb, fence, item, answer), answer is not None)

    def _add_cancel(self, call: Call) -> None:
        job_id, reply = call.request["id"], call.reply
        if call.request.get("running"):
            self._stopped.add(job_id)
        if reply is None:
            self._put(job_id, call, "cancel", cancelled, known=False)
        elif reply["ok"]:
            if "status" not in reply:
                self._put(job_id, call, "cancel", cancelled)
        elif reply["error"]["code"] == "INVALID_STATE":
            phase = SEEN_AS[reply["error"]["details"]["state"].lower()]
            self._put(job_id, call, f"cancel: is {phase}", seen(phase, None))
        elif reply["error"]["code"] == "JOB_NOT_FOUND":
            self._put(job_id, call, "cancel: not there", missing)

    def _add_read(self, call: Call, reply: Object) -> None:
        if reply["ok"]:
            self._put(call.request["id"], call, "get " + _shown(reply["job"]), _saw(reply["job"]))
        elif reply["error"]["code"] == "JOB_NOT_FOUND":
            self._put(call.request["id"], call, "get: not there", missing)


def _end_move(verb: str, fence: int, item: Object, answer: Object | None) -> Move:
    if verb in ("heartbeat", "progress"):
        return held(fence)
    if verb != "fail":
        return ended(fence, "cancelled") if item.get("cancelled") else ended(fence, "completed")
    if answer is None:
        return ended(fence, "pending", "dlq")
    return ended(fence, "pending") if answer.get("will_retry") else ended(fence, "dlq")


def _saw(job: Object) -> Move:
    return seen(SEEN_AS[job["state"]], job.get("fence"))


def _shown(job: Object | None) -> str:
    return "not there" if job is None else f"{job['state']} {job.get('fence')}"
