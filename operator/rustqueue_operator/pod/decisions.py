"""What a pod does about its place in the cluster. Pure: facts in, the next step out.

A pod stays a member for as long as its StatefulSet has a place for it, through restarts, drains and upgrades. It
leaves when it ends and its number lies beyond the size that the StatefulSet has now. Who does not know the size stays:
a member too many costs a vote that is missing, and the operator takes it away later; one too few may cost the majority.
"""

from typing import Any, Final, Literal

from rustqueue_operator.pod.asking import Answer

Next = Literal["done", "never", "again"]
"""done: it is so now. never: asking again would change nothing. again: ask again in a moment."""

_REFUSED_FOR_GOOD: Final = frozenset({400, 401, 403, 404, 405, 413, 422})


def is_beyond(ordinal: int, stateful_set: dict[str, Any]) -> bool:
    """Whether a StatefulSet has no place for this number any more. Of size 0 it is stopped, not made smaller, and what
    is deleted as a whole comes back as a whole.
    """
    if "deletionTimestamp" in stateful_set.get("metadata", {}):
        return False
    size = (stateful_set.get("spec") or {}).get("replicas")
    return isinstance(size, int) and 0 < size <= ordinal


def after_joining(answer: Answer) -> Next:
    """After asking for the place of a node that is not ready; a member that starts slowly is told that it is one."""
    if answer.status == 200 or answer.code == "MEMBER_EXISTS":
        return "done"
    return "never" if answer.status in _REFUSED_FOR_GOOD else "again"


def after_leaving(answer: Answer) -> Next:
    """After asking to let this node go."""
    if answer.status == 200 or answer.code == "MEMBER_UNKNOWN":
        return "done"
    if answer.code in ("LAST_VOTER", "NOT_A_CLUSTER"):
        return "never"
    return "never" if answer.status in _REFUSED_FOR_GOOD else "again"
