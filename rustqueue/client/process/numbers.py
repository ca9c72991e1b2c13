"""What a worker process counts (contract B6), and the exposition text of Prometheus, format 0.0.4.

Written out here, since a bare installation has no library for it. It must not know how the text is served.
"""

from collections import defaultdict
from collections.abc import Iterator
from time import perf_counter
from typing import Final

from rustqueue.client.work.outbox import Ended
from rustqueue.client.work.running import RunningJob

OUTCOMES: Final[dict[Ended, str]] = {
    "completed": "succeeded",
    "retried": "retrying",
    "dead": "failed_permanent",
    "cancelled": "cancelled",
    "lost": "error",
}
"""What became of a job, in the second system's words."""

_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_STARTED: Final = "worker_jobs_started_total"
_COMPLETED: Final = "worker_jobs_completed_total"
_DURATION: Final = "worker_job_duration_seconds"


class _Durations:
    """One histogram: how many were at most so long, not yet summed up."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        place = next((place for place, bound in enumerate(_BOUNDS_S) if seconds <= bound), len(_BOUNDS_S))
        self.counts[place] += 1
        self.sum_s += seconds


class WorkerNumbers:
    """Told of every job that begins and of every one whose outcome has left. A kind is a queue."""

    def __init__(self) -> None:
        self._started: defaultdict[str, int] = defaultdict(int)
        self._durations: defaultdict[tuple[str, str], _Durations] = defaultdict(_Durations)
        self._began_s: dict[RunningJob, float] = {}

    def began(self, job: RunningJob) -> None:
        self._started[job.queue] += 1
        self._began_s[job] = perf_counter()

    def ended(self, job: RunningJob, ended: Ended) -> None:
        now_s = perf_counter()
        self._durations[job.queue, OUTCOMES[ended]].add(now_s - self._began_s.pop(job, now_s))

    def text(self) -> str:
        return "\n".join([*self._started_lines(), *self._completed_lines(), *self._duration_lines(), ""])

    def _started_lines(self) -> Iterator[str]:
        yield f"# HELP {_STARTED} Jobs begun."
        yield f"# TYPE {_STARTED} counter"
        for kind, count in sorted(self._started.items()):
            yield f'{_STARTED}{{kind="{kind}"}} {count}'

    def _completed_lines(self) -> Iterator[str]:
        yield f"# HELP {_COMPLETED} Jobs whose outcome was reported."
        yield f"# TYPE {_COMPLETED} counter"
        for (kind, outcome), durations in sorted(self._durations.items()):
            yield f'{_COMPLETED}{{kind="{kind}",outcome="{outcome}"}} {sum(durations.counts)}'

    def _duration_lines(self) -> Iterator[str]:
        yield f"# HELP {_DURATION} From the beginning of a job to the answer to its outcome."
        yield f"# TYPE {_DURATION} histogram"
        for (kind, outcome), durations in sorted(self._durations.items()):
            labels = f'kind="{kind}",outcome="{outcome}"'
            below = 0
            for bound, count in zip((*_BOUNDS_S, "+Inf"), durations.counts, strict=True):
                below += count
                yield f'{_DURATION}_bucket{{{labels},le="{bound}"}} {below}'
            yield f"{_DURATION}_sum{{{labels}}} {durations.sum_s:.6f}"
            yield f"{_DURATION}_count{{{labels}}} {below}"
