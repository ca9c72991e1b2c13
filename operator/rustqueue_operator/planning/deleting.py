"""What to do about an object that is being deleted. It always ends: the finalizer goes when the thing is deleted, when
it is not ours to delete, or when nobody can be asked any more; and then the data stays.
"""

import msgspec

from rustqueue_operator.planning.conditions import Conditions, changed, find, with_conditions
from rustqueue_operator.planning.values import (
    Absent,
    Action,
    Delete,
    Desired,
    Event,
    Facts,
    Observed,
    Plan,
    Record,
    Refusal,
    RemoveFinalizer,
    Unobserved,
    Unreachable,
)


def plan(desired: Desired, observed: Observed, facts: Facts) -> Plan:
    """Without our finalizer there is nothing left to do."""
    if not desired.finalizer:
        return Plan(status=None, again="never")
    if desired.spec.deletion_policy == "Retain" or desired.spec.management_policy == "Observe":
        return _release("Normal", "Retained", f"'{desired.backend_name}' stays in the cluster")
    if facts.cluster_problem is not None:
        return _release("Warning", "ReleasedWithoutDeletion", f"nothing was deleted: {facts.cluster_message}")
    unknown = isinstance(observed, Unreachable | Unobserved)
    if unknown and desired.status.applied_hash is None:
        return _release("Normal", "Released", "it was never applied, so there is nothing to delete")
    former = desired.status.cluster_id
    if former is not None and facts.cluster_id is not None and former != facts.cluster_id:
        text = f"nothing was deleted: the cluster is now {facts.cluster_id} and was {former}"
        return _release("Warning", "ReleasedWithoutDeletion", text)
    if isinstance(observed, Unreachable):
        return _unanswered(desired, observed, facts)
    if isinstance(observed, Unobserved):
        return Plan(status=None, again="later") if facts.refusal is None else _refused(desired, facts.refusal, facts)
    return _answered(desired, observed, facts)


def _answered(desired: Desired, observed: Record | Absent, facts: Facts) -> Plan:
    if isinstance(observed, Absent):
        return _release("Normal", "Released", f"'{desired.backend_name}' is not there any more")
    if observed.owner_uid != desired.uid:
        text = f"'{desired.backend_name}' stays: it is owned by {observed.owner_ref or observed.owner_uid or 'nobody'}"
        return _release("Normal", "Retained", text)
    if facts.refusal is not None:
        return _refused(desired, facts.refusal, facts)
    return _delete(desired, observed)


def _delete(desired: Desired, observed: Record) -> Plan:
    force = desired.kind == "Queue" and desired.spec.deletion_policy == "Delete"
    actions: tuple[Action, ...] = (Delete(if_owner=desired.uid, force=force), RemoveFinalizer())
    return Plan(
        status=None,
        actions=actions,
        events=(Event("Normal", "Deleted", f"{desired.kind.lower()} '{desired.backend_name}'"),),
        again="soon",
    )


def _release(type_: str, reason: str, message: str) -> Plan:
    event = Event("Normal" if type_ == "Normal" else "Warning", reason, message)
    return Plan(status=None, actions=(RemoveFinalizer(),), events=(event,), again="never")


def _unanswered(desired: Desired, observed: Unreachable, facts: Facts) -> Plan:
    if facts.namespace_ending or facts.deadline_passed:
        why = "the namespace is going" if facts.namespace_ending else "it was waited for long enough"
        text = f"nothing was deleted: the cluster does not answer and {why}"
        return _release("Warning", "ReleasedWithoutDeletion", text)
    return _blocked(desired, facts, "ClusterUnreachable", f"the cluster does not answer: {observed.message}")


def _refused(desired: Desired, refusal: Refusal, facts: Facts) -> Plan:
    if refusal.code == "INVALID_STATE":
        # It is being deleted already, by us or by somebody else.
        return _release("Normal", "Deleted", f"{desired.kind.lower()} '{desired.backend_name}'")
    if refusal.code == "PRECONDITION_FAILED":
        return _release("Normal", "Retained", f"'{desired.backend_name}' stays: it has another owner by now")
    if facts.namespace_ending:
        return _release("Warning", "ReleasedWithoutDeletion", f"nothing was deleted: {refusal.message}")
    if refusal.code == "QUEUE_NOT_EMPTY":
        text = f"{refusal.message}. Drain the queue, or set spec.deletionPolicy to Delete or Retain"
        return _blocked(desired, facts, "QueueNotEmpty", text)
    return _blocked(desired, facts, "Refused", refusal.message)


def _blocked(desired: Desired, facts: Facts, reason: str, message: str) -> Plan:
    conditions = Conditions(desired.generation, facts.now)
    known = find(desired.status, "DeletionBlocked")
    if known is not None and known.reason == reason == "ClusterUnreachable":
        message = known.message
    conditions.say("DeletionBlocked", "True", reason, message)
    conditions.say("Ready", "False", "DeletionBlocked", message)
    conditions.say("Synced", "False", "Deleting")
    reachable = reason != "ClusterUnreachable"
    conditions.say("ClusterReachable", "True" if reachable else "False", "Answers" if reachable else "NoAnswer")
    status = with_conditions(desired.status, conditions, desired.generation)
    status = msgspec.structs.replace(status, backend_name=desired.backend_name)
    news = changed(desired.status, status, "DeletionBlocked")
    events = (Event("Warning", "DeletionBlocked", message),) if news else ()
    return Plan(status=status, events=events, again="later")
