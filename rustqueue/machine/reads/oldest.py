"""For how long the oldest ready job of a queue has been waiting, without passing what was taken before it.

The windows in memory know the front of the queue; rows are looked at only behind what they cover. Jobs that were taken
leave deleted rows there, which a scan from the beginning of the queue would have to step over one by one.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from rustqueue.machine import keys
from rustqueue.machine.kv import View
from rustqueue.machine.ready.window import Bound
from rustqueue.machine.state import State
from rustqueue.model import limits
from rustqueue.model.ids import created_ms

_FIRST: Final[Bound] = (-limits.PRIORITY_MAX, -(1 << 63))


def oldest_ready_ms(state: State, view: View, name: str) -> int | None:
    """When the oldest ready job was pushed: the first of each priority and group is older than all behind it.

    None: no job is ready. Nothing is kept in memory of a queue that was not there before.
    """
    queue = state.queues.get(name)
    part = keys.queue_part(name)
    ids: list[bytes] = []
    bound: Bound | None = _FIRST
    if queue is not None:
        ids, bound = queue.ready.fronts()
    lanes = [iter(ids)]
    if bound is not None:
        lanes.append(_behind(view, part, bound))
    if queue is None or queue.counters.grouped:
        lanes.append(_behind(view, keys.grouped_part(part), None))
    found = islice(chain.from_iterable(lanes), limits.SCALE_LANES_MAX)
    return min((created_ms(job_id) for job_id in found), default=None)


def _behind(view: View, part: bytes, bound: Bound | None) -> Iterator[bytes]:
    """The first ready job of each priority, of each group if `part` is that of groups, from a place on."""
    for letter, place in ((b"f", 8), (b"w", 0)):
        prefix = letter + part
        start, end = prefix, keys.after(prefix)
        if bound is not None:
            # A block stands at the number of its first job, and may reach over the bound.
            order = bound[1] if letter == b"w" else max(-(1 << 63), bound[1] - limits.READY_BLOCK_JOBS_MAX + 1)
            start = prefix + keys.lane(-bound[0], order)
        while found := view.scan(start, end, 1):
            [(key, value)] = found
            yield value[place : place + 16]
            lane = key[: -keys.LANE_BYTES]
            priority = keys.lane_parts(key[len(lane) :])[0]
            # Lower priorities of the same group come next, then the next group.
            start = lane + keys.lane(priority - 1, -(1 << 63)) if priority > limits.PRIORITY_MIN else keys.after(lane)
