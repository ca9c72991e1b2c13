"""What the demo's clients know for certain: what was acknowledged to them, and when.

Fed by several threads. It must not ask the node: it is what the node's answers are compared with. Times are monotonic
nanoseconds, which all processes of one machine share.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Progress(NamedTuple):
    pushed: int
    acknowledged: int


class Outcome(NamedTuple):
    """The figures of the final table."""

    pushed: int
    acknowledged: int
    lost: int
    run_twice: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def jobs_per_s(self) -> float:
        return self.acknowledged / self.seconds if self.seconds > 0 else 0.0


class Ledger:
    """Pushes and acknowledgements, each written down only after the node said ok."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pushed_ns: dict[str, int] = {}
        self._acknowledged_ns: dict[str, int] = {}
        self._runs: Counter[str] = Counter()
        self._failure: str | None = None

    def note_pushed(self, job_ids: Iterable[str], at_ns: int) -> None:
        with self._changed:
            self._pushed_ns.update(dict.fromkeys(job_ids, at_ns))
            self._changed.notify_all()

    def note_acknowledged(self, job_ids: Iterable[str], at_ns: int) -> None:
        with self._changed:
            for job_id in job_ids:
                self._acknowledged_ns.setdefault(job_id, at_ns)
            self._changed.notify_all()

    def note_run(self, job_ids: Iterable[str]) -> None:
        """Workers did the work of these jobs, acknowledged or not."""
        with self._changed:
            self._runs.update(job_ids)

    def note_failure(self, reason: str) -> None:
        """A client gave up: nobody need wait any longer."""
        with self._changed:
            self._failure = reason if self._failure is None else self._failure
            self._changed.notify_all()

    def note_end(self) -> None:
        """From now on clients end because they are told to; that is no failure."""
        with self._changed:
            self._failure = "" if self._failure is None else self._failure
            self._changed.notify_all()

    @property
    def failure(self) -> str | None:
        """Why it is over: None as long as it is not, empty when it ended as planned."""
        with self._changed:
            return self._failure

    def progress(self) -> Progress:
        with self._changed:
            return Progress(len(self._pushed_ns), len(self._acknowledged_ns))

    def wait_for_lead(self, lead_jobs: int, timeout_s: float) -> bool:
        """True as soon as fewer than `lead_jobs` pushed jobs wait for their acknowledgement."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._pushed_ns) - len(self._acknowledged_ns) < lead_jobs or self._failure is not None,
                timeout_s,
            )

    def wait_for_change(self, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait(timeout_s)

    def compare(self, existing: set[str], completed: set[str]) -> Outcome:
        """Against what the node says at the end. A job is lost when its push was acknowledged and it is not there, or
        when its completion was acknowledged and it is not completed.
        """
        with self._changed:
            lost = {job_id for job_id in self._pushed_ns if job_id not in existing}
            lost |= {job_id for job_id in self._acknowledged_ns if job_id not in completed}
            both = self._pushed_ns.keys() & self._acknowledged_ns.keys()
            latencies = sorted((self._acknowledged_ns[job_id] - self._pushed_ns[job_id]) / 1e6 for job_id in both)
            begin = min(self._pushed_ns.values(), default=0)
            end = max(self._acknowledged_ns.values(), default=begin)
            return Outcome(
                pushed=len(self._pushed_ns),
                acknowledged=len(self._acknowledged_ns),
                lost=len(lost),
                run_twice=sum(runs > 1 for runs in self._runs.values()),
                seconds=(end - begin) / 1e9,
                p50_ms=percentile(latencies, 50),
                p99_ms=percentile(latencies, 99),
            )


def percentile(ordered: list[float], percent: int) -> float:
    """Nearest rank in an ascending list; 0 for an empty one."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
