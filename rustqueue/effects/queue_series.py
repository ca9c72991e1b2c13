"""The series with a queue label, as exposition text.

Written here because the library needs 16 ms of the loop for a thousand queues and one name, this half a millisecond.
Invariant: queue names need no escaping, since they are letters, digits, `-`, `_` and `.`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rustqueue.effects.job_flow import COUNTED, OTHER_QUEUES
from rustqueue.model.jobs import Counts

_DEPTHS: Final = ("waiting", "active", "delayed", "dlq", "blocked")
_OLDEST: Final = "rustqueue_queue_oldest_waiting_seconds"


def depth_lines(queues: list[tuple[str, Counts]], rest: Counts | None) -> Iterator[str]:
    """Jobs by queue and state; the queues without series of their own together."""
    shown = queues if rest is None else [*queues, (OTHER_QUEUES, rest)]
    for depth in _DEPTHS:
        name = f"rustqueue_queue_{depth}_jobs"
        yield _head(name, f"Jobs of the queue in state {depth}.", "gauge")
        yield from _lines(name, ((queue, getattr(counts, depth)) for queue, counts in shown))


def oldest_lines(queues: list[tuple[str, Counts]], oldest_ms: Mapping[str, int], now_ms: int) -> Iterator[str]:
    """Ages of the oldest ready jobs; a queue whose oldest job is not known yet is left out."""
    yield _head(_OLDEST, "Since the oldest job that waits was pushed; 0 if none waits.", "gauge")
    ages = (
        (queue, max(0, now_ms - oldest_ms.get(queue, now_ms)) / 1_000)
        for queue, counts in queues
        if queue in oldest_ms or not counts.waiting
    )
    yield from _lines(_OLDEST, ages)


def flow_lines(by_queue: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """What became of the jobs of each queue."""
    for name in COUNTED:
        full = f"rustqueue_queue_jobs_{name}_total"
        yield _head(full, f"Jobs of the queue {name}, as rustqueue_jobs_{name}_total.", "counter")
        yield from _lines(full, ((queue, counts[name]) for queue, counts in by_queue.items()))


def _head(name: str, text: str, kind: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _lines(name: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    return (f'{name}{{queue="{queue}"}} {value}\n' for queue, value in values)
