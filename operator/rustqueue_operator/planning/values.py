"""What the planner is told and what it answers.

`Desired` is the object as Kubernetes holds it, `Observed` what the cluster answered, `Facts` what else matters. The
answer is a list of actions to carry out in order, the whole new status, and events to post. Pure values.
"""

from typing import Any, Literal

from msgspec import Struct

from rustqueue_operator.kinds.fields import Declared
from rustqueue_operator.kinds.status import Status
from rustqueue_operator.kinds.table import KindName


class Desired(Struct, frozen=True, kw_only=True):
    """One object. `paused` is the annotation that stops the operator, not the mode of the queue."""

    kind: KindName
    namespace: str
    name: str
    uid: str
    generation: int
    spec: Declared
    status: Status
    deleting: bool = False
    finalizer: bool = False
    paused: bool = False

    @property
    def backend_name(self) -> str:
        return self.spec.name or self.name


class Record(Struct, frozen=True, kw_only=True):
    """It is there. `settings` has the shape of the request that would make it so."""

    settings: dict[str, Any]
    owner_uid: str | None = None
    owner_ref: str | None = None
    revision: int = 0
    """0: it came into being by being used, and nobody has set anything."""
    activity: dict[str, Any] = {}
    """What it ran or delivered, in the words of the API."""


class Absent(Struct, frozen=True):
    """The cluster answered that there is no such thing."""


class Unreachable(Struct, frozen=True):
    """The cluster gave no usable answer, so nothing is known."""

    message: str


class Unobserved(Struct, frozen=True):
    """It was not asked, because there is nobody to ask or nothing to do."""


Observed = Record | Absent | Unreachable | Unobserved

ClusterProblem = Literal["ClusterNotFound", "NamespaceNotAllowed", "ClusterAmbiguous", "InvalidCluster"]


class Refusal(Struct, frozen=True):
    """The cluster refused the action that was tried last in this turn."""

    code: str
    message: str
    passing: bool
    """True: the same may succeed later without anybody changing the object."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the planner cannot see in the object or in the cluster's answer."""

    now: str
    origin: str
    """Identity of this Kubernetes, the first part of the owner references that we write."""
    cluster: str | None = None
    cluster_id: str | None = None
    cluster_problem: ClusterProblem | None = None
    cluster_message: str = ""
    rival: str | None = None
    """An older object that claims the same name in the same cluster."""
    owner_alive: bool = False
    """Whether the recorded owner is an object that we know and that is not being deleted."""
    secret_digest: str | None = None
    secret_problem: str | None = None
    namespace_ending: bool = False
    deadline_passed: bool = False
    refusal: Refusal | None = None


class AddFinalizer(Struct, frozen=True):
    """Make Kubernetes wait for us when the object is deleted."""


class RemoveFinalizer(Struct, frozen=True):
    """Let Kubernetes finish the deletion."""


class Put(Struct, frozen=True):
    """Write settings on top of the revision that was looked at, 0 for nothing: of two writers one is refused."""

    body: dict[str, Any]
    if_match: int
    with_secrets: bool = False


class Delete(Struct, frozen=True):
    """Delete it if `if_owner` still owns it; with `force` also when jobs are in it."""

    if_owner: str
    force: bool


Action = AddFinalizer | RemoveFinalizer | Put | Delete


class Event(Struct, frozen=True):
    """A Kubernetes event. Those of a plan are posted once its actions have succeeded."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Plan(Struct, frozen=True, kw_only=True):
    """`again` says when to look at the object next: soon (after the actions), in growing steps, at the drift check, or
    only when something changes. With `due_s` there is something to tell in so many seconds."""

    status: Status | None
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    again: Literal["soon", "later", "drift", "never"] = "drift"
    due_s: float | None = None
