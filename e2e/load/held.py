"""Which calls of a history a backup holds, so that what was restored from it is judged as if they had been made there.

Pure; knows nothing of clusters. What ended before the backup was asked for is in it: that is what a backup promises.
What began after it was made is not. Of the calls between, answers tell the time of their entry of the log (in the ids
of pushed jobs, as the begin of leases), and the backup tells that of its last one. An ack tells no time: its outcome is
unknown, unless its lease is not in the backup either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from rustqueue.history.figures import PUSHES
from rustqueue.history.lines import Call, Object
from rustqueue.history.verdict import ms_of

Held = Literal["whole", "unknown", "not"]


@dataclass(frozen=True)
class Cut:
    """A backup: asked for and made by the clock of the histories, and the time of the last entry that is in it."""

    begin_us: int
    end_us: int
    taken_at_ms: int


def held(calls: Iterable[Call], cut: Cut) -> list[Call]:
    """The calls that the backup holds; those of which nobody can say it have no answer."""
    kept: list[Call] = []
    leases: set[str] = set()
    # What ends a lease comes after the call that gave it.
    for call in sorted(calls, key=lambda each: each.start_us):
        how = _how(call, cut, leases)
        if how == "not":
            continue
        kept.append(call if how == "whole" else msgspec.structs.replace(call, reply=None))
        if how == "whole":
            leases.update(job["attempt_token"] for job in _leased(call))
    return kept


def _how(call: Call, cut: Cut, leases: set[str]) -> Held:
    if call.end_us < cut.begin_us:
        return "whole"
    if call.start_us > cut.end_us:
        return "not"
    if call.request["cmd"] not in (*PUSHES, "pull"):
        # A lease that began with the last entry or later was ended later still.
        return "unknown" if any(token in leases for token in _ended(call.request)) else "not"
    if call.reply is None:
        return "unknown"
    at_ms = next(_entry_ms(call), None)
    if at_ms is None or at_ms > cut.taken_at_ms:
        return "not"
    # Two entries may have the same time, so that of the last one says nothing.
    return "whole" if at_ms < cut.taken_at_ms else "unknown"


def _entry_ms(call: Call) -> Iterator[int]:
    """The time of the entry with this push or pull; nothing for one that did nothing."""
    assert call.reply is not None, "only an answer tells it"
    if call.request["cmd"] == "pull":
        yield from (ms_of(job["started_at"]) for job in _leased(call))
    elif call.reply["ok"]:
        ids = call.reply["ids"] if "ids" in call.reply else [call.reply["id"]]
        yield from (int(job_id.replace("-", "")[:12], 16) for job_id in ids)


def _leased(call: Call) -> list[Object]:
    if call.request["cmd"] != "pull" or call.reply is None or not call.reply["ok"]:
        return []
    found: list[Object] = call.reply["jobs"]
    return found


def _ended(request: Object) -> list[str]:
    items: list[Object] = request.get("items", [request])
    return [item["attempt_token"] for item in items]
