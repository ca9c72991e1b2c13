"""Who may change a declared record, and what a change makes of its revision, owner and labels.

Queues, schedules and webhooks keep a `rows.Ownership` and come here for it; it must not know what else they hold.
Invariants: a refusal writes nothing; a revision only grows, and a change that changes nothing leaves it.
"""

from typing import TypedDict

from msgspec import UNSET

from rustqueue.machine.rows import Ownership, changed
from rustqueue.model.errors import PreconditionFailed
from rustqueue.model.jobs import Owner
from rustqueue.model.requests import Declaring, Guarded


class Shown(TypedDict):
    """The keys that a reply about a declared record has in common with all others."""

    labels: dict[str, str]
    owner: Owner | None
    revision: int


def require(present: Ownership | None, command: Guarded) -> None:
    """Raise PRECONDITION_FAILED unless the record is as the command says. None: there is no record yet."""
    revision = 0 if present is None else present.revision
    if command.if_match is not None and command.if_match != revision:
        raise PreconditionFailed.revision(command.if_match, revision)
    if command.if_owner is None or present is None:
        return
    uid = None if present.owner is None else present.owner[0]
    if uid != command.if_owner:
        raise PreconditionFailed.owner(uid)


def declared(present: Ownership | None, command: Declaring) -> Ownership:
    """Owner and labels as the command leaves them, at the present revision."""
    before = present or Ownership()
    owner, labels = before.owner, before.labels
    if command.owner is None:
        owner = None
    elif command.owner is not UNSET:
        owner = (command.owner.uid, command.owner.ref)
    if command.labels is not UNSET:
        labels = dict(sorted(command.labels.items()))
    return changed(before, owner=owner, labels=labels)


def risen(ownership: Ownership) -> Ownership:
    """The next revision."""
    return changed(ownership, revision=ownership.revision + 1)


def shown(ownership: Ownership | None) -> Shown:
    present = ownership or Ownership()
    owner = None if present.owner is None else Owner(*present.owner)
    return {"labels": present.labels, "owner": owner, "revision": present.revision}
