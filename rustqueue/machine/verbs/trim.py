"""Room for new work: the oldest completed jobs go before retention would have it, because the disk fills up (design 5).

It must not know why it is asked, nor how full anything is. Invariants: only completed jobs go, oldest first over the
queues looked at; one command removes and looks at a bounded number, and the reply says where the next one goes on.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from rustqueue.machine import endings, keys, rows
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import tick
from rustqueue.model import limits
from rustqueue.model.commands import Trim
from rustqueue.model.replies import Trimmed


class _Block(NamedTuple):
    """Completed jobs of one queue that ended together; the name settles the order of equals."""

    ended_ms: int
    queue: str
    key: bytes
    value: bytes


def trim(state: State, tx: Tx, command: Trim) -> Trimmed:
    endings.store_outcomes(state, tx)
    found, after = _queues_with_completed(state, tx, command.after)
    left = limits.SWEEP_JOBS_MAX
    for block in heapq.merge(*[_blocks(tx, queue) for queue in found.values()]):
        queue = found[block.queue]
        if block.ended_ms < tx.now_ms:
            queue.outcome_floor[rows.COMPLETED] = block.key
        count = min((len(block.value) - 1) // 16, left)
        tick.remove_first(state, tx, queue, (block.key, block.value), count)
        left -= count
        if left == 0:
            # The same queues may have more that is older than anything of the queues behind them.
            return Trimmed(removed=limits.SWEEP_JOBS_MAX, after=command.after)
    return Trimmed(removed=limits.SWEEP_JOBS_MAX - left, after=after)


def _queues_with_completed(state: State, tx: Tx, after: str) -> tuple[dict[str, QueueState], str]:
    """The next queues in order of name that hold completed jobs, and where to go on; empty when all were seen."""
    found: dict[str, QueueState] = {}
    name = ""
    passed = tx.scan(keys.counters(keys.queue_part(after)) + b"\0" if after else b"n", b"o", limits.TRIM_ROWS_MAX)
    for key, value in passed:
        name = key[1:-1].decode("ascii")
        # Counters of queues changed by this entry are newer in memory than in their rows.
        known = state.queues.get(name)
        counters = known.counters if known is not None else rows.decode_counters(value)
        if counters.completed > 0:
            found[name] = state.existing(tx, name)
        if len(found) == limits.TRIM_QUEUES_MAX:
            return found, name
    return found, name if len(passed) == limits.TRIM_ROWS_MAX else ""


def _blocks(tx: Tx, queue: QueueState) -> Iterator[_Block]:
    for key, value in tick.outcome_blocks(tx, queue, rows.COMPLETED):
        yield _Block(keys.outcome_at(key), queue.name, key, value)
