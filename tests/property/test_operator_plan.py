"""Any history of an object and its queue converges, and nobody loses what is theirs."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rustqueue_operator.kinds.status import Status
from rustqueue_operator.planning.plan import plan
from rustqueue_operator.planning.values import Absent, Desired, Plan, Record, Refusal, Unreachable
from tests.unit.operator_factories import Cluster, desired, facts, queue_spec

ROUNDS_MAX = 5

specs = st.fixed_dictionaries(
    {},
    optional={
        "leaseSeconds": st.integers(1, 3),
        "mode": st.sampled_from(["Normal", "Hold"]),
        "labels": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "x"]), max_size=2),
        "limits": st.fixed_dictionaries({}, optional={"maxWaiting": st.integers(0, 2)}),
        "deletionPolicy": st.sampled_from(["Retain", "Delete", "DeleteIfEmpty"]),
        "managementPolicy": st.sampled_from(["Manage", "Observe"]),
        "adopt": st.sampled_from(["Never", "IfIdentical", "Always"]),
    },
)
owners = st.sampled_from([None, "uid-1", "alive", "gone"])
events = st.one_of(
    st.tuples(st.just("spec"), specs),
    st.tuples(st.just("outside"), st.dictionaries(st.sampled_from(["lease_ms"]), st.integers(1, 3), max_size=1)),
    st.tuples(st.just("owner"), owners),
    st.tuples(st.just("jobs"), st.integers(0, 2)),
    st.tuples(st.just("vanish"), st.none()),
    st.tuples(st.just("forget"), st.none()),
    st.tuples(st.just("silence"), st.booleans()),
    st.tuples(st.just("delete"), st.none()),
)


class World:
    """The object, the cluster and whether it answers."""

    def __init__(self) -> None:
        self.object: Desired | None = desired(queue_spec(), finalizer=False)
        self.cluster = Cluster()
        self.silent = False

    def happen(self, name: str, value: Any) -> None:
        there = self.cluster.observed
        match name:
            case "spec" if self.object is not None:
                spec, generation = queue_spec(**value), self.object.generation + 1
                self.object = msgspec.structs.replace(self.object, spec=spec, generation=generation)
            case "outside" if isinstance(there, Record):
                self.cluster.observed = msgspec.structs.replace(there, settings=value, revision=there.revision + 1)
            case "owner":
                ref = None if value is None else f"here/team/{'mail' if value in ('uid-1', 'gone') else value}"
                present = there if isinstance(there, Record) else Record(settings={}, revision=1)
                self.cluster.observed = msgspec.structs.replace(present, owner_uid=value, owner_ref=ref)
            case "jobs":
                self.cluster.jobs = value
            case "vanish":
                self.cluster.observed = Absent()
            case "forget" if self.object is not None:
                # The operator wrote to the cluster and died before it wrote its status.
                self.object = msgspec.structs.replace(self.object, status=Status())
            case "silence":
                self.silent = value
            case "delete" if self.object is not None:
                self.object = msgspec.structs.replace(self.object, deleting=True)
                if not self.object.finalizer:
                    self.object = None

    def settle(self) -> Plan | None:
        refusal: Refusal | None = None
        for _ in range(ROUNDS_MAX):
            if self.object is None:
                return None
            there = self.cluster.observed
            alive = isinstance(there, Record) and there.owner_uid == "alive"
            before, owner = there, there.owner_uid if isinstance(there, Record) else None
            planned = plan(
                self.object,
                Unreachable("silent") if self.silent else there,
                facts(owner_alive=alive, refusal=refusal),
            )
            if not planned.actions:
                if planned.status is not None:
                    self.object = msgspec.structs.replace(self.object, status=planned.status)
                return planned
            observes = self.object.spec.management_policy == "Observe"
            self.object, refusal, stays = self.cluster.carry_out(self.object, planned)
            if self.cluster.observed != before:
                assert not self.silent
                assert not observes
                assert owner != "alive"
            if not stays:
                self.object = None
        raise AssertionError(f"no end: {self.cluster.log}")


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=12))
def test_any_history_converges_and_takes_nothing_from_others(history: list[tuple[str, Any]]) -> None:
    world = World()
    for name, value in history:
        deleting, jobs = world.object is not None and world.object.deleting, world.cluster.jobs
        world.happen(name, value)
        planned = world.settle()
        if deleting:
            continue
        # What settled stays settled: the same world gives the same status and no action.
        again = world.settle()
        if planned is not None and again is not None:
            assert (again.status or Status(), again.actions) == (planned.status or Status(), ())
        assert jobs >= 0
    for entry in world.cluster.log:
        assert "delete of alive" not in entry
        assert "delete of None" not in entry


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=8), specs)
def test_an_object_whose_queue_is_free_ends_ready(history: list[tuple[str, Any]], last: dict[str, Any]) -> None:
    world = World()
    for name, value in history:
        if name not in ("delete", "owner"):
            world.happen(name, value)
            world.settle()
    world.silent = False
    world.happen("spec", {**last, "managementPolicy": "Manage", "adopt": "Always"})

    planned = world.settle()

    assert world.object is not None
    assert planned is not None
    assert planned.status is not None
    assert {condition.type: condition.status for condition in planned.status.conditions}["Ready"] == "True"
    assert isinstance(world.cluster.observed, Record)
    assert world.cluster.observed.owner_uid == "uid-1"
