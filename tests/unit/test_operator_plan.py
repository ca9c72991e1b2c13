"""The planner as a table: what is wanted, what is there, what else is true; then what is done and what is said."""

from typing import Any

import msgspec
import pytest

from rustqueue_operator.kinds.status import Condition, Status
from rustqueue_operator.planning.conditions import find
from rustqueue_operator.planning.diff import digest
from rustqueue_operator.planning.plan import plan, wanted_body
from rustqueue_operator.planning.values import (
    Absent,
    AddFinalizer,
    Delete,
    Desired,
    Facts,
    Observed,
    Plan,
    Put,
    Record,
    Refusal,
    RemoveFinalizer,
    Unobserved,
    Unreachable,
)
from tests.unit.operator_factories import NOW, REF, Cluster, desired, facts, queue_spec, record, spec_of


def said(planned: Plan, type_: str) -> tuple[str, str]:
    assert planned.status is not None
    condition = find(planned.status, type_)
    assert condition is not None
    return condition.status, condition.reason


def settle(wanted: Desired, observed: Record | Absent, known: Facts) -> tuple[Desired, Cluster, Plan]:
    """Carry out plans until one is empty, as the reconciler does."""
    cluster = Cluster(observed)
    refusal = None
    for _ in range(5):
        planned = plan(wanted, cluster.observed, msgspec.structs.replace(known, refusal=refusal))
        if not planned.actions:
            break
        wanted, refusal, _ = cluster.carry_out(wanted, planned)
    else:
        raise AssertionError("the plan does not settle")
    if planned.status is not None:
        wanted = msgspec.structs.replace(wanted, status=planned.status)
    return wanted, cluster, planned


def applied(wanted: Desired) -> Desired:
    """As it is once it was applied."""
    return settle(wanted, Absent(), facts())[0]


def test_a_new_queue_gets_a_finalizer_first_so_that_its_deletion_cannot_be_missed() -> None:
    assert plan(desired(finalizer=False), Absent(), facts()).actions == (AddFinalizer(),)


def test_a_new_queue_is_made_only_where_there_is_none() -> None:
    planned = plan(desired(), Absent(), facts())

    owner = {"uid": "uid-1", "ref": REF}
    assert planned.actions == (Put({"labels": {}, "lease_ms": 60_000, "owner": owner}, if_match=0),)
    assert [(event.type, event.reason) for event in planned.events] == [("Normal", "Created")]


def test_what_was_applied_is_ready_and_asks_for_nothing_more() -> None:
    wanted, cluster, planned = settle(desired(), Absent(), facts())

    assert (said(planned, "Ready"), said(planned, "Synced")) == (("True", "Applied"), ("True", "Applied"))
    assert wanted.status.last_sync_time == NOW
    assert plan(wanted, cluster.observed, facts(now="2027-01-01T00:00:00Z")) == Plan(status=wanted.status)


def test_an_object_without_finalizer_needs_is_left_without() -> None:
    wanted = desired(queue_spec(leaseSeconds=60, deletionPolicy="Retain"))

    assert plan(wanted, Absent(), facts()).actions == (RemoveFinalizer(),)


def test_a_changed_spec_is_written_over_the_revision_that_was_seen() -> None:
    before = applied(desired())
    wanted = msgspec.structs.replace(before, spec=queue_spec(leaseSeconds=90), generation=2)

    planned = plan(wanted, record(revision=7), facts())

    assert [(action.body["lease_ms"], action.if_match) for action in planned.actions if isinstance(action, Put)] == [
        (90_000, 7)
    ]
    assert [event.reason for event in planned.events] == ["Updated"]


def test_what_somebody_changed_in_the_cluster_is_put_back_and_told() -> None:
    planned = plan(applied(desired()), record({"lease_ms": 5, "limits": {"max_waiting": 1}}), facts())

    assert [type(action) for action in planned.actions] == [Put]
    assert [(event.type, event.reason, event.message) for event in planned.events] == [
        ("Warning", "DriftCorrected", "queue 'mail' in default/main: lease_ms, limits")
    ]


def test_what_somebody_deleted_in_the_cluster_is_made_again() -> None:
    assert [event.reason for event in plan(applied(desired()), Absent(), facts()).events] == ["Recreated"]


def test_a_pause_by_hand_is_no_drift_unless_the_mode_is_declared() -> None:
    paused = record({"lease_ms": 60_000, "mode": "hold"})
    free = plan(applied(desired()), paused, facts())
    declared = plan(applied(desired(queue_spec(leaseSeconds=60, mode="Normal"))), paused, facts())

    assert (free.actions, said(free, "Paused"), said(free, "Ready")) == (
        (),
        ("True", "QueuePaused"),
        ("True", "Applied"),
    )
    assert [type(action) for action in declared.actions] == [Put]


@pytest.mark.parametrize(
    ("there", "adopt", "outcome"),
    [
        (record({"lease_ms": 60_000}, owner=None), None, "put"),
        (record({"lease_ms": 1}, owner=None), None, "AlreadyExists"),
        (record({"lease_ms": 60_000}, owner=None), "Never", "AlreadyExists"),
        (record({"lease_ms": 1}, owner=None), "Always", "put"),
        (record({}, owner=None, revision=0), None, "put"),
        (record(owner="other", owner_ref="elsewhere/team/mail"), None, "OwnedElsewhere"),
        (record(owner="other", owner_ref="elsewhere/team/mail"), "Always", "put"),
        (record(owner="gone", owner_ref="here/team/other"), "IfIdentical", "OwnedElsewhere"),
        (record(owner="gone", owner_ref=REF), "Never", "put"),
    ],
)
def test_what_is_there_already_is_adopted_only_as_allowed(there: Record, adopt: Any, outcome: str) -> None:
    spec = queue_spec(leaseSeconds=60) if adopt is None else queue_spec(leaseSeconds=60, adopt=adopt)

    planned = plan(desired(spec), there, facts())

    if outcome == "put":
        assert [type(action) for action in planned.actions] == [Put]
        assert [event.reason for event in planned.events] == ["Adopted"]
    else:
        assert (planned.actions, said(planned, "Conflict"), said(planned, "Ready")) == (
            (),
            ("True", outcome),
            ("False", outcome),
        )


def test_an_owner_that_is_alive_keeps_what_it_has_whatever_adopt_says() -> None:
    wanted = desired(queue_spec(adopt="Always"))

    planned = plan(wanted, record(owner="other"), facts(owner_alive=True))

    assert (planned.actions, said(planned, "Ready")) == ((), ("False", "ResourceConflict"))


def test_of_two_objects_for_one_queue_the_younger_one_waits() -> None:
    planned = plan(desired(), record(), facts(rival="team/older"))

    assert (planned.actions, said(planned, "Conflict"), said(planned, "Stalled")) == (
        (),
        ("True", "ResourceConflict"),
        ("True", "ResourceConflict"),
    )
    assert [event.message for event in planned.events] == ["team/older is older and claims 'mail' in the same cluster"]


def test_observe_tells_what_differs_and_touches_nothing() -> None:
    wanted = desired(queue_spec(leaseSeconds=60, managementPolicy="Observe"), finalizer=False)

    planned = plan(wanted, record({"lease_ms": 1}, owner="somebody"), facts())

    assert planned.actions == ()
    assert planned.status is not None
    assert (planned.status.drift, said(planned, "Drifted")) == (["lease_ms"], ("True", "DiffersAndOnlyObserved"))


@pytest.mark.parametrize(
    ("observed", "known", "ready", "again"),
    [
        (Unreachable("no route"), facts(), ("False", "ClusterUnreachable"), "later"),
        (
            Unobserved(),
            facts(cluster_problem="NamespaceNotAllowed", cluster_message="no"),
            ("False", "NamespaceNotAllowed"),
            "drift",
        ),
        (Absent(), facts(secret_problem="there is no Secret hook"), ("False", "SecretNotUsable"), "drift"),
        (Absent(), facts(refusal=Refusal("VALIDATION_ERROR", "lease", False)), ("False", "ValidationError"), "drift"),
        (Absent(), facts(refusal=Refusal("DISK_FULL", "full", True)), ("False", "DiskFull"), "later"),
        (Unobserved(), facts(refusal=Refusal("UNAUTHORIZED", "token", True)), ("False", "Unauthorized"), "later"),
    ],
)
def test_every_way_to_fail_is_a_condition_with_its_reason(
    observed: Observed, known: Facts, ready: tuple[str, str], again: str
) -> None:
    planned = plan(desired(), observed, known)

    assert (planned.actions, said(planned, "Ready"), planned.again) == ((), ready, again)
    assert [event.reason for event in planned.events] == [ready[1]]


def test_news_are_told_once() -> None:
    first = plan(desired(), Unreachable("refused"), facts())
    assert first.status is not None
    second = plan(desired(status=first.status), Unreachable("timed out"), facts(now="2027-01-01T00:00:00Z"))

    assert (second.status, second.events) == (first.status, ())


def test_an_annotation_pauses_the_operator_for_one_object() -> None:
    planned = plan(desired(paused=True), Unobserved(), facts())

    assert (planned.actions, said(planned, "Ready"), planned.again) == (
        (),
        ("Unknown", "ReconciliationPaused"),
        "never",
    )


def test_a_rotated_secret_is_sent_again_and_never_told() -> None:
    hook = spec_of("Webhook", url="https://example.org/", secretKeyRef={"name": "s", "key": "k"})
    wanted = desired(hook, kind="Webhook")
    body = wanted_body(wanted)
    wanted = msgspec.structs.replace(wanted, status=Status(applied_hash=digest(body, "old")))

    planned = plan(wanted, record(body), facts(secret_digest="new"))

    assert [action.with_secrets for action in planned.actions if isinstance(action, Put)] == [True]
    assert planned.status is not None
    assert planned.status.applied_hash == digest(body, "new")


class TestDeletion:
    """The object is going; `finalizer` says whether Kubernetes waits for us."""

    def gone(self, observed: Observed, known: Facts | None = None, **spec: Any) -> Plan:
        status = Status(applied_hash="x", owner_uid="uid-1", cluster_id="c1")
        return plan(desired(queue_spec(**spec), deleting=True, status=status), observed, known or facts())

    def test_the_queue_goes_if_it_is_empty(self) -> None:
        assert self.gone(record()).actions == (Delete("uid-1", force=False), RemoveFinalizer())

    def test_with_delete_it_goes_with_its_jobs(self) -> None:
        assert self.gone(record(), deletionPolicy="Delete").actions == (Delete("uid-1", force=True), RemoveFinalizer())

    def test_with_retain_it_stays(self) -> None:
        assert self.gone(record(), deletionPolicy="Retain").actions == (RemoveFinalizer(),)

    def test_jobs_block_it_and_the_condition_says_how_many(self) -> None:
        refusal = Refusal("QUEUE_NOT_EMPTY", "Queue 'mail' still holds 3 jobs (waiting 3)", False)

        planned = self.gone(record(), facts(refusal=refusal))

        assert planned.actions == ()
        assert planned.status is not None
        blocked = find(planned.status, "DeletionBlocked")
        assert isinstance(blocked, Condition)
        assert (blocked.status, blocked.reason) == ("True", "QueueNotEmpty")
        assert "waiting 3" in blocked.message
        assert "deletionPolicy" in blocked.message

    def test_what_another_owns_is_left_alone(self) -> None:
        assert self.gone(record(owner="other")).actions == (RemoveFinalizer(),)

    def test_what_is_gone_is_gone(self) -> None:
        assert self.gone(Absent()).actions == (RemoveFinalizer(),)

    def test_a_deletion_under_way_is_not_waited_for(self) -> None:
        refusal = Refusal("INVALID_STATE", "is being deleted", False)
        assert self.gone(record(), facts(refusal=refusal)).actions == (RemoveFinalizer(),)

    def test_an_unreachable_cluster_blocks_it_for_a_while(self) -> None:
        planned = self.gone(Unreachable("no route"))

        assert (planned.actions, said(planned, "DeletionBlocked")) == ((), ("True", "ClusterUnreachable"))

    @pytest.mark.parametrize(
        "known",
        [
            facts(deadline_passed=True),
            facts(namespace_ending=True),
            facts(cluster_problem="ClusterNotFound", cluster_message="there is none"),
            facts(cluster_id="c2"),
        ],
    )
    def test_then_the_object_is_released_and_nothing_is_deleted(self, known: Facts) -> None:
        planned = self.gone(Unreachable("no route"), known)

        assert planned.actions == (RemoveFinalizer(),)
        assert [(event.type, event.reason) for event in planned.events] == [("Warning", "ReleasedWithoutDeletion")]

    def test_without_our_finalizer_there_is_nothing_to_do(self) -> None:
        wanted = desired(deleting=True, finalizer=False)

        assert plan(wanted, record(), facts()) == Plan(status=None, again="never")
