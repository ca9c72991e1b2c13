"""The table of legal moves of a job. The diagram in docs/architecture.md is made from it.

Everything that changes a job's state asks this table first. Moves that the hot path makes (lease, complete) are found
by the lease itself: a leased job is active and nothing else is.
"""

from typing import Final, Literal

from rustqueue.machine import rows
from rustqueue.model.errors import Conflict

Verb = Literal["cancel", "retry", "promote", "prioritise", "remove", "lease", "complete", "fail"]

TABLE: Final[dict[Verb, dict[int, tuple[int, ...]]]] = {
    "lease": {rows.WAITING: (rows.ACTIVE,)},
    "complete": {rows.ACTIVE: (rows.COMPLETED, rows.CANCELLED)},
    "fail": {rows.ACTIVE: (rows.WAITING, rows.DELAYED, rows.DLQ, rows.CANCELLED)},
    "cancel": {
        rows.WAITING: (rows.CANCELLED,),
        rows.DELAYED: (rows.CANCELLED,),
        rows.BLOCKED: (rows.CANCELLED,),
    },
    "retry": {rows.DLQ: (rows.WAITING,), rows.DELAYED: (rows.WAITING,)},
    "promote": {rows.DELAYED: (rows.WAITING,)},
    "prioritise": {
        rows.WAITING: (rows.WAITING,),
        rows.DELAYED: (rows.DELAYED,),
        rows.BLOCKED: (rows.BLOCKED,),
        rows.ACTIVE: (rows.ACTIVE,),
    },
    "remove": dict.fromkeys((rows.WAITING, rows.DELAYED, rows.BLOCKED, *rows.FINISHED), ()),
}
"""For each verb: the states it is legal in, and where it may lead."""

BY_TIME: Final[dict[str, dict[int, tuple[int, ...]]]] = {
    "delay over": {rows.DELAYED: (rows.WAITING,)},
    "parents done": {rows.BLOCKED: (rows.WAITING,)},
    "parent failed": {rows.BLOCKED: (rows.DLQ,)},
    "ttl over": dict.fromkeys((rows.WAITING, rows.DELAYED, rows.BLOCKED), (rows.DLQ,)),
    "stall or timeout": {rows.ACTIVE: (rows.WAITING, rows.DELAYED, rows.DLQ)},
    "retention": dict.fromkeys(rows.FINISHED, ()),
}
"""Moves that no client asks for: time passes, or another job ends."""

_EXPECTED: Final[dict[Verb, str]] = {
    "lease": "Waiting",
    "complete": "Active",
    "fail": "Active",
    "cancel": "Waiting, Delayed, or Blocked",
    "retry": "Dlq or Delayed",
    "promote": "Delayed",
    "prioritise": "Waiting, Delayed, Blocked, or Active",
    "remove": "any but Active",
}


def require(state: int, verb: Verb) -> None:
    """Raise INVALID_STATE unless `verb` is legal for a job in `state`."""
    if state not in TABLE[verb]:
        raise Conflict.state(rows.STATE_NAMES[state], _EXPECTED[verb])


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/architecture.md; a test keeps the two the same."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {rows.STATE_NAMES[code]}: push" for code in (rows.WAITING, rows.DELAYED, rows.BLOCKED)]
    for verb, moves in (*TABLE.items(), *BY_TIME.items()):
        for state, ends in moves.items():
            targets = [rows.STATE_NAMES[end] for end in ends] or ["[*]"]
            lines += [f"    {rows.STATE_NAMES[state]} --> {target}: {verb}" for target in targets]
    return "\n".join(lines)
