"""Objects, records and facts for tests of the operator's planner, and a cluster that carries out what it plans."""

from typing import Any

import msgspec

from rustqueue_operator.kinds.fields import Declared
from rustqueue_operator.kinds.queue import QueueSpec
from rustqueue_operator.kinds.status import Status
from rustqueue_operator.kinds.table import KINDS, KindName
from rustqueue_operator.planning.values import (
    Absent,
    AddFinalizer,
    Delete,
    Desired,
    Facts,
    Plan,
    Put,
    Record,
    Refusal,
    RemoveFinalizer,
)

NOW = "2026-01-02T03:04:05Z"
ORIGIN = "here"
REF = f"{ORIGIN}/team/mail"


def queue_spec(**fields: Any) -> QueueSpec:
    return msgspec.convert(fields, QueueSpec)


def spec_of(kind: KindName, **fields: Any) -> Declared:
    return msgspec.convert(fields, KINDS[kind].spec)


def desired(spec: Declared | None = None, **changes: Any) -> Desired:
    standard = Desired(
        kind="Queue",
        namespace="team",
        name="mail",
        uid="uid-1",
        generation=1,
        spec=spec or queue_spec(leaseSeconds=60),
        status=Status(),
        finalizer=True,
    )
    return msgspec.structs.replace(standard, **changes)


def facts(**changes: Any) -> Facts:
    standard = Facts(now=NOW, origin=ORIGIN, cluster="default/main")
    return msgspec.structs.replace(standard, **changes)


def record(settings: dict[str, Any] | None = None, owner: str | None = "uid-1", **changes: Any) -> Record:
    standard = Record(
        settings={"lease_ms": 60_000, "mode": "normal"} if settings is None else settings,
        owner_uid=owner,
        owner_ref=None if owner is None else REF,
        revision=1,
    )
    return msgspec.structs.replace(standard, **changes)


class Cluster:
    """What the API does with a plan, as a few lines: revisions, owners and the refusal of a queue that is not empty."""

    def __init__(self, observed: Record | Absent | None = None, jobs: int = 0) -> None:
        self.observed: Record | Absent = observed or Absent()
        self.jobs = jobs
        self.log: list[str] = []

    def carry_out(self, wanted: Desired, planned: Plan) -> tuple[Desired, Refusal | None, bool]:
        """The object afterwards, what was refused, and whether Kubernetes still has the object."""
        after = wanted
        for action in planned.actions:
            match action:
                case AddFinalizer():
                    after = msgspec.structs.replace(after, finalizer=True)
                case RemoveFinalizer():
                    after = msgspec.structs.replace(after, finalizer=False)
                case Put():
                    refusal = self._put(wanted, action)
                    if refusal is not None:
                        return after, refusal, True
                case Delete():
                    refusal = self._delete(action)
                    if refusal is not None:
                        return after, refusal, True
        if planned.status is not None:
            after = msgspec.structs.replace(after, status=planned.status)
        return after, None, after.finalizer or not after.deleting

    def _put(self, wanted: Desired, action: Put) -> Refusal | None:
        revision = self.observed.revision if isinstance(self.observed, Record) else 0
        if action.if_match != revision:
            return Refusal("PRECONDITION_FAILED", "changed", True)
        owner = action.body["owner"]
        answer = {key: value for key, value in action.body.items() if key != "owner"}
        mode = answer.pop("mode", None) or (
            self.observed.settings.get("mode", "normal") if isinstance(self.observed, Record) else "normal"
        )
        settings = KINDS["Queue"].settings_of({"settings": answer, "mode": mode, "labels": answer.pop("labels", None)})
        self.log.append(f"put over {getattr(self.observed, 'owner_uid', 'nothing')}")
        self.observed = Record(settings=settings, owner_uid=owner["uid"], owner_ref=owner["ref"], revision=revision + 1)
        return None

    def _delete(self, action: Delete) -> Refusal | None:
        if not isinstance(self.observed, Record):
            return None
        if self.observed.owner_uid != action.if_owner:
            return Refusal("PRECONDITION_FAILED", "another owner", True)
        if self.jobs and not action.force:
            return Refusal("QUEUE_NOT_EMPTY", f"Queue 'mail' still holds {self.jobs} jobs", False)
        self.log.append(f"delete of {self.observed.owner_uid} with {self.jobs} jobs")
        self.observed, self.jobs = Absent(), 0
        return None
