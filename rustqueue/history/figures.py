"""What a history adds up to: calls by outcome, jobs as Jepsen's queue checker counts them, and what each kind of fault
cost those who were not at fault.

Pure. Invariant: a gap is the longest time in which no push was acknowledged to anybody, from the fault to the next one.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct

from rustqueue.history.lines import Call, Event
from rustqueue.history.verdict import Evidence, Snapshot

PUSHES = ("push", "push_batch")


class FaultFigures(Struct, frozen=True):
    """All faults of a kind: of so many calls that ended meanwhile, so many were unknown or refused for the fault; and
    for each the longest time in which nobody was told of a push, in ascending order.
    """

    kind: str
    calls: int
    failed: int
    gaps_ms: list[int]

    @property
    def times(self) -> int:
        return len(self.gaps_ms)

    @property
    def failed_share(self) -> float:
        return self.failed / self.calls if self.calls else 0.0

    @property
    def gap_ms_p50(self) -> int:
        return self.gaps_ms[(len(self.gaps_ms) - 1) // 2]

    @property
    def gap_ms_max(self) -> int:
        return self.gaps_ms[-1]

    def with_others(self, other: "FaultFigures") -> "FaultFigures":
        """The same kind in another history."""
        gaps_ms = sorted(self.gaps_ms + other.gaps_ms)
        return FaultFigures(self.kind, self.calls + other.calls, self.failed + other.failed, gaps_ms)


class JobFigures(Struct, frozen=True):
    """`attempts` to push a job; `recovered` are those of unknown outcome that are there; nobody tried `unexpected`."""

    attempts: int
    acknowledged: int
    recovered: int
    unexpected: int


class CallFigures(Struct, frozen=True):
    made: int
    answered: int
    refused: int
    unknown: int
    gap_ms_max: int
    """The longest time between two acknowledged pushes."""


# Refusals that say something about the nodes and nothing about the request.
OF_NODES = {"SHUTTING_DOWN", "NOT_READY", "NO_LEADER", "OVERLOADED", "DISK_FULL"}


def count_calls(calls: list[Call]) -> CallFigures:
    answered = sum(call.reply is not None and bool(call.reply["ok"]) for call in calls)
    unknown = sum(call.reply is None for call in calls)
    ends = pushes_acknowledged(calls)
    gap_us = max((later - earlier for earlier, later in pairwise(ends)), default=0)
    return CallFigures(len(calls), answered, len(calls) - answered - unknown, unknown, gap_us // 1_000)


def count_jobs(evidence: Evidence, snapshot: Snapshot) -> JobFigures:
    attempts = acknowledged = recovered = 0
    there: dict[str, int] = defaultdict(int)
    for job in snapshot.jobs.values():
        there[job["data"]["op"]] += 1
    for op, tries in evidence.pushes.items():
        request = tries[0].request
        size = len(request["jobs"]) if request["cmd"] == "push_batch" else 1
        attempts += size
        if any(call.reply is not None and call.reply["ok"] for call in tries):
            acknowledged += size
        else:
            recovered += there.get(op, 0)
    unexpected = sum(count for op, count in there.items() if op not in evidence.pushes)
    return JobFigures(attempts, acknowledged, recovered, unexpected)


def count_faults(calls: list[Call], events: list[Event]) -> list[FaultFigures]:
    """Each fault lasts, for those who suffer from it, until the next one, or until it is said to be quiet."""
    marks = sorted((event for event in events if event.what in ("fault", "quiet")), key=lambda event: event.at_us)
    pushes = pushes_acknowledged(calls)
    ordered = sorted(calls, key=lambda call: call.end_us)
    ends = [call.end_us for call in ordered]
    gaps: dict[str, list[int]] = defaultdict(list)
    during: dict[str, list[Call]] = defaultdict(list)
    for mark, following in pairwise([*marks, Event("quiet", max(ends, default=0) + 1, {})]):
        if mark.what == "fault":
            kind = str(mark.details["kind"])
            gaps[kind].append(_gap_us(pushes, mark.at_us, following.at_us))
            during[kind] += ordered[bisect_left(ends, mark.at_us) : bisect_left(ends, following.at_us)]
    return [
        FaultFigures(kind, len(during[kind]), _failed(during[kind]), sorted(gap // 1_000 for gap in of_kind))
        for kind, of_kind in sorted(gaps.items())
    ]


def pushes_acknowledged(calls: Iterable[Call]) -> list[int]:
    """When, in order."""
    return sorted(
        call.end_us for call in calls if call.request["cmd"] in PUSHES and call.reply is not None and call.reply["ok"]
    )


def _gap_us(pushes: list[int], begin_us: int, end_us: int) -> int:
    """Longest pause that touches the span."""
    first = max(0, bisect_left(pushes, begin_us) - 1)
    last = bisect_left(pushes, end_us)
    return max((later - earlier for earlier, later in pairwise(pushes[first : last + 1])), default=0)


def _failed(calls: list[Call]) -> int:
    return sum(call.reply is None or code_of(call) in OF_NODES for call in calls)


def code_of(call: Call) -> str | None:
    error = (call.reply or {}).get("error") or {}
    code: str | None = error.get("code")
    return code
