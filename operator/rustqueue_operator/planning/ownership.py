"""Who owns a thing in the cluster. The cluster records an owner's uid and a reference `ORIGIN/NAMESPACE/NAME`.

Invariant: an object whose owner is alive is never taken from it; who is not the owner never deletes.
"""

from typing import Any, NamedTuple

from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.planning.diff import differing
from rustqueue_operator.planning.values import Absent, Desired, Facts, Record


class Objection(NamedTuple):
    """Why this object may not manage what is there."""

    reason: str
    message: str


def reference(desired: Desired, origin: str) -> str:
    """What the cluster shows to people who ask whose it is."""
    return f"{origin}/{desired.namespace}/{desired.name}"


def objection(desired: Desired, observed: Record | Absent, facts: Facts) -> Objection | None:
    """None: it is ours, or may become ours. Watching never needs a right."""
    if isinstance(observed, Absent) or observed.owner_uid == desired.uid:
        return None
    if desired.spec.management_policy == "Observe":
        return None
    if observed.owner_uid is not None:
        return _of_another(desired, observed, facts)
    return _of_nobody(desired, observed)


def _of_another(desired: Desired, observed: Record, facts: Facts) -> Objection | None:
    if observed.owner_ref == reference(desired, facts.origin) and not facts.owner_alive:
        # The same object of the same Kubernetes, deleted with Retain and made anew.
        return None
    ref = observed.owner_ref or observed.owner_uid
    from_here = (observed.owner_ref or "").startswith(f"{facts.origin}/")
    if facts.owner_alive:
        return Objection("ResourceConflict", f"'{desired.backend_name}' is owned by {ref}")
    if desired.spec.adopt == "Always":
        return None
    whose = "an object that is gone" if from_here else "an object of another Kubernetes"
    text = f"'{desired.backend_name}' is owned by {ref}, {whose}; spec.adopt: Always takes it over"
    return Objection("OwnedElsewhere", text)


def _of_nobody(desired: Desired, observed: Record) -> Objection | None:
    adopt = desired.spec.adopt or "IfIdentical"
    if adopt == "Always" or observed.revision == 0:
        return None
    fields = differing(_wanted(desired), observed.settings)
    if adopt == "IfIdentical" and not fields:
        return None
    what = "is there already" if adopt == "Never" else f"is there already and differs in {', '.join(fields[:16])}"
    return Objection("AlreadyExists", f"'{desired.backend_name}' {what}; spec.adopt: Always takes it over")


def _wanted(desired: Desired) -> dict[str, Any]:
    return KINDS[desired.kind].comparable(desired.spec, desired.namespace)
