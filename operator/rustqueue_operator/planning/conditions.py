"""Conditions of one visit. Every condition is there from the first visit on, but for kstatus' Reconciling and
Stalled, which are there only while they are true.

Invariant: what did not change its status keeps its time, so that an unchanged object gives an equal status: no write.
"""

from typing import Final

import msgspec

from rustqueue_operator.kinds.status import Condition, ConditionStatus, Status

_ALWAYS: Final = ("Ready", "Synced", "ClusterReachable", "Paused", "Conflict", "Drifted", "DeletionBlocked")
_QUIET: Final[dict[str, tuple[ConditionStatus, str, str]]] = {
    "Ready": ("Unknown", "NotYetKnown", ""),
    "Synced": ("Unknown", "NotYetKnown", ""),
    "ClusterReachable": ("Unknown", "NotAsked", ""),
    "Paused": ("False", "Running", ""),
    "Conflict": ("False", "NoConflict", ""),
    "Drifted": ("False", "NoDrift", ""),
    "DeletionBlocked": ("False", "NotBlocked", ""),
}
_MESSAGE_LETTERS_MAX: Final = 1_024


class Conditions:
    """Collects the conditions of one visit."""

    def __init__(self, generation: int, now: str) -> None:
        self._generation = generation
        self._now = now
        self._said = dict(_QUIET)

    def say(self, type_: str, status: ConditionStatus, reason: str, message: str = "") -> None:
        self._said[type_] = (status, reason, message[:_MESSAGE_LETTERS_MAX])

    def onto(self, before: Status) -> list[Condition]:
        """All conditions, with the times of those that kept their status."""
        known = {condition.type: condition for condition in before.conditions}
        order = [*_ALWAYS, *sorted(set(self._said) - set(_ALWAYS))]
        return [self._condition(type_, known.get(type_)) for type_ in order]

    def _condition(self, type_: str, before: Condition | None) -> Condition:
        status, reason, message = self._said[type_]
        return Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=self._now
            if before is None or before.status != status
            else before.last_transition_time,
            observed_generation=self._generation,
        )


def find(status: Status, type_: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == type_), None)


def changed(before: Status, after: Status, type_: str) -> bool:
    """Whether a person would call it news: another status or another reason."""
    old, new = find(before, type_), find(after, type_)
    if new is None:
        return False
    return old is None or (old.status, old.reason) != (new.status, new.reason)


def with_conditions(before: Status, conditions: Conditions, generation: int) -> Status:
    return msgspec.structs.replace(before, observed_generation=generation, conditions=conditions.onto(before))
