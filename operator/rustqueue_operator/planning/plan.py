"""The planner: one function for every kind.

    plan(desired, observed, facts) -> actions, status, events

It is called until it answers with no actions. Invariants, each a test: what it plans, once carried out, leaves an empty
plan; nothing is written or deleted in a cluster that another owner has; nothing is deleted blindly; an unchanged object
gives an equal status.
"""

from typing import Any, Final

import msgspec

from rustqueue_operator.kinds.status import Status
from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.planning import deleting, ownership
from rustqueue_operator.planning.activity import next_run_s, with_activity
from rustqueue_operator.planning.conditions import Conditions, changed, find, with_conditions
from rustqueue_operator.planning.diff import differing, digest
from rustqueue_operator.planning.values import (
    Absent,
    Action,
    AddFinalizer,
    Desired,
    Event,
    Facts,
    Observed,
    Plan,
    Put,
    Record,
    RemoveFinalizer,
    Unobserved,
    Unreachable,
)

_FIELDS_TOLD_MAX: Final = 16


def plan(desired: Desired, observed: Observed, facts: Facts) -> Plan:
    """What to do now. Deletion comes before everything else: no shortcut may miss it."""
    if desired.deleting:
        return deleting.plan(desired, observed, facts)
    conditions = Conditions(desired.generation, facts.now)
    if desired.paused:
        return _paused(desired, conditions)
    if isinstance(observed, Record | Absent):
        conditions.say("ClusterReachable", "True", "Answers")
    if facts.cluster_problem is not None:
        return _hopeless(desired, facts, conditions, facts.cluster_problem, facts.cluster_message)
    if facts.rival is not None:
        text = f"{facts.rival} is older and claims '{desired.backend_name}' in the same cluster"
        conditions.say("Conflict", "True", "ResourceConflict", text)
        return _hopeless(desired, facts, conditions, "ResourceConflict", text)
    if isinstance(observed, Unobserved):
        if facts.refusal is None:
            return Plan(status=None, again="later")
        conditions.say("ClusterReachable", "True", "Answers")
        return _refused(desired, facts, conditions)
    if isinstance(observed, Unreachable):
        return _unreachable(desired, observed, facts, conditions)
    return _answered(desired, observed, facts, conditions)


def _answered(desired: Desired, observed: Record | Absent, facts: Facts, conditions: Conditions) -> Plan:
    if facts.secret_problem is not None:
        return _hopeless(desired, facts, conditions, "SecretNotUsable", facts.secret_problem)
    problem = ownership.objection(desired, observed, facts)
    if problem is not None:
        conditions.say("Conflict", "True", problem.reason, problem.message)
        return _hopeless(desired, facts, conditions, problem.reason, problem.message)
    if facts.refusal is not None:
        return _refused(desired, facts, conditions)
    return _settled(desired, observed, facts, conditions)


def wanted_body(desired: Desired) -> dict[str, Any]:
    """The request without the owner and the secrets."""
    return KINDS[desired.kind].request_body(desired.spec, desired.namespace)


def _settled(desired: Desired, observed: Record | Absent, facts: Facts, conditions: Conditions) -> Plan:
    body = wanted_body(desired)
    present = observed.settings if isinstance(observed, Record) else {}
    kind = KINDS[desired.kind]
    fields = differing(kind.comparable(desired.spec, desired.namespace), present)
    applied = digest(body, facts.secret_digest)
    observes = desired.spec.management_policy == "Observe"
    mine = isinstance(observed, Record) and observed.owner_uid == desired.uid
    if observes:
        return _watched(desired, observed, facts, fields, conditions)
    if keeps_finalizer(desired) != desired.finalizer:
        step: Action = RemoveFinalizer() if desired.finalizer else AddFinalizer()
        return Plan(status=None, actions=(step,), again="soon")
    if not mine or fields or desired.status.applied_hash != applied:
        return _write(desired, observed, facts, fields)
    _say_mode(conditions, present)
    conditions.say("Synced", "True", "Applied")
    conditions.say("Ready", "True", "Applied")
    assert isinstance(observed, Record)
    status = _status(desired, facts, conditions, drift=None, owner=observed.owner_uid)
    status = with_activity(status, observed.activity)
    return Plan(status=status, again="drift", due_s=next_run_s(status, facts.now))


def keeps_finalizer(desired: Desired) -> bool:
    """Only who may have to delete something makes Kubernetes wait."""
    return desired.spec.deletion_policy != "Retain" and desired.spec.management_policy != "Observe"


def _write(desired: Desired, observed: Record | Absent, facts: Facts, fields: list[str]) -> Plan:
    body = wanted_body(desired)
    owner = {"uid": desired.uid, "ref": ownership.reference(desired, facts.origin)}
    applied = digest(body, facts.secret_digest)
    before = desired.status.applied_hash
    if isinstance(observed, Record):
        repeat = before == applied and observed.owner_uid == desired.uid
        reason = "DriftCorrected" if repeat else "Updated" if observed.owner_uid == desired.uid else "Adopted"
    else:
        reason = "Created" if before is None else "Recreated"
    told = f": {', '.join(fields[:_FIELDS_TOLD_MAX])}" if fields and isinstance(observed, Record) else ""
    type_: Any = "Warning" if reason in ("DriftCorrected", "Recreated") else "Normal"
    event = Event(type_, reason, f"{desired.kind.lower()} '{desired.backend_name}' in {facts.cluster}{told}")
    # What is true afterwards is said by the next plan; this one only remembers what was written.
    status = msgspec.structs.replace(desired.status, applied_hash=applied, last_sync_time=facts.now)
    request = {**KINDS[desired.kind].cleared, **body, "owner": owner}
    seen = observed.revision if isinstance(observed, Record) else 0
    put = Put(request, seen, with_secrets=facts.secret_digest is not None)
    return Plan(status=status, actions=(put,), events=(event,), again="soon")


def _watched(
    desired: Desired, observed: Record | Absent, facts: Facts, fields: list[str], conditions: Conditions
) -> Plan:
    """Observe: tell what differs, touch nothing; not even a finalizer of earlier days stays."""
    if desired.finalizer:
        return Plan(status=None, actions=(RemoveFinalizer(),), again="soon")
    if isinstance(observed, Absent):
        fields, text = ["(absent)"], f"'{desired.backend_name}' is not there"
    else:
        text = ", ".join(fields[:_FIELDS_TOLD_MAX])
        _say_mode(conditions, observed.settings)
    if fields:
        conditions.say("Drifted", "True", "DiffersAndOnlyObserved", text)
        conditions.say("Synced", "False", "OnlyObserved", text)
        conditions.say("Ready", "False", "Drifted", text)
    else:
        conditions.say("Synced", "True", "Identical")
        conditions.say("Ready", "True", "Identical")
    owner = observed.owner_uid if isinstance(observed, Record) else None
    status = _status(desired, facts, conditions, drift=fields[:_FIELDS_TOLD_MAX] or None, owner=owner)
    status = with_activity(status, observed.activity if isinstance(observed, Record) else {})
    return Plan(status=status, events=_news(desired.status, status), again="drift", due_s=next_run_s(status, facts.now))


def _paused(desired: Desired, conditions: Conditions) -> Plan:
    conditions.say("Ready", "Unknown", "ReconciliationPaused", "the annotation rustqueue.io/paused is set")
    conditions.say("Synced", "Unknown", "ReconciliationPaused")
    return Plan(status=with_conditions(desired.status, conditions, desired.generation), again="never")


def _hopeless(desired: Desired, facts: Facts, conditions: Conditions, reason: str, message: str) -> Plan:
    """Somebody has to change something: what changes in Kubernetes wakes us, the rest is looked at now and then."""
    conditions.say("Synced", "False", reason, message)
    conditions.say("Ready", "False", reason, message)
    conditions.say("Stalled", "True", reason, message)
    status = _status(desired, facts, conditions, drift=None, owner=desired.status.owner_uid)
    return Plan(status=status, events=_news(desired.status, status), again="drift")


def _unreachable(desired: Desired, observed: Unreachable, facts: Facts, conditions: Conditions) -> Plan:
    conditions.say("ClusterReachable", "False", "NoAnswer", observed.message)
    conditions.say("Ready", "False", "ClusterUnreachable", observed.message)
    conditions.say("Synced", "Unknown", "ClusterUnreachable", "nothing was changed")
    conditions.say("Reconciling", "True", "ClusterUnreachable", "tried again in growing steps")
    known = find(desired.status, "ClusterReachable")
    if known is not None and known.status == "False":
        # The text of each failed try differs; an outage is told once.
        conditions.say("ClusterReachable", "False", "NoAnswer", known.message)
        conditions.say("Ready", "False", "ClusterUnreachable", known.message)
    status = _status(desired, facts, conditions, drift=desired.status.drift, owner=desired.status.owner_uid)
    return Plan(status=status, events=_news(desired.status, status), again="later")


def _refused(desired: Desired, facts: Facts, conditions: Conditions) -> Plan:
    refusal = facts.refusal
    assert refusal is not None
    reason = "".join(word.capitalize() for word in refusal.code.lower().split("_"))
    conditions.say("Synced", "False", reason, refusal.message)
    conditions.say("Ready", "False", reason, refusal.message)
    conditions.say("Reconciling" if refusal.passing else "Stalled", "True", reason, refusal.message)
    status = _status(desired, facts, conditions, drift=None, owner=desired.status.owner_uid)
    return Plan(status=status, events=_news(desired.status, status), again="later" if refusal.passing else "drift")


def _say_mode(conditions: Conditions, present: dict[str, Any]) -> None:
    mode = present.get("mode", "normal")
    if mode != "normal":
        conditions.say("Paused", "True", "QueuePaused", f"mode {mode}")
    elif present.get("paused") or present.get("suspended"):
        conditions.say("Paused", "True", "Suspended")


def _status(
    desired: Desired, facts: Facts, conditions: Conditions, *, drift: list[str] | None, owner: str | None
) -> Status:
    status = with_conditions(desired.status, conditions, desired.generation)
    return msgspec.structs.replace(
        status,
        cluster=facts.cluster or status.cluster,
        cluster_id=facts.cluster_id or status.cluster_id,
        backend_name=desired.backend_name,
        owner_uid=owner,
        drift=drift,
    )


def _news(before: Status, after: Status) -> tuple[Event, ...]:
    """A warning when Ready changed its reason for the worse."""
    ready = find(after, "Ready")
    if ready is None or ready.status != "False" or not changed(before, after, "Ready"):
        return ()
    return (Event("Warning", ready.reason, ready.message),)
