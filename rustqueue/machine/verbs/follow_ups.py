"""Jobs that a completed job asks for in `metadata.follow_ups` (contract A12, decisions A31).

They are pushed in the same entry as the ack. Each stands alone: a bad one is named in the reply, good ones run.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rustqueue.machine.rows import JobRow
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import push
from rustqueue.model import limits, wire
from rustqueue.model.commands import NewJob
from rustqueue.model.errors import ApiError
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import FlowText, JobOptions, NameText, QueueText
from rustqueue.model.mistakes.decoding import api_error


class FollowUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One follow-up as it stands in the metadata."""

    queue: QueueText
    name: NameText
    data: Raw | UnsetType = UNSET
    options: JobOptions | None = None
    flow_id: FlowText | None = None


class _Metadata(Struct, frozen=True):
    follow_ups: Annotated[list[Raw], Meta(max_length=limits.FOLLOW_UPS_MAX)] = []


_metadata: Final = msgspec.json.Decoder(_Metadata)
_follow_up: Final = msgspec.json.Decoder(FollowUp)
_members: Final = msgspec.json.Decoder(dict[str, Raw])


def push_all(state: State, tx: Tx, parent: bytes, row: JobRow, result: bytes | None) -> list[str]:
    """Push the follow-ups of a job that has just completed; returns what was refused and why."""
    extras = row.extras
    if extras is None or extras.metadata is None:
        return []
    try:
        wanted = _metadata.decode(extras.metadata).follow_ups
    except msgspec.MsgspecError as error:
        return [f"follow_ups: {api_error(error, _Metadata, extras.metadata).message}"]
    refused: list[str] = []
    rest = _without_follow_ups(extras.metadata)
    for place, raw in enumerate(wanted):
        try:
            _push_one(state, tx, parent, _completed(raw, row, result, rest))
        except ApiError as error:
            refused.append(f"follow_ups[{place}]: {error.message}")
    return refused


def _completed(raw: Raw, row: JobRow, result: bytes | None, rest: bytes | None) -> tuple[str, NewJob]:
    """Fill in what a follow-up inherits: data from the result, flow id and metadata from its parent."""
    try:
        wanted = _follow_up.decode(raw)
    except msgspec.MsgspecError as error:
        raise api_error(error, FollowUp, bytes(raw)) from None
    options = wanted.options or JobOptions()
    flow_id = options.flow_id or wanted.flow_id or (row.extras.flow_id if row.extras is not None else None)
    metadata = options.metadata
    if metadata is UNSET and rest is not None:
        metadata = Raw(rest)
    data = bytes(wanted.data) if isinstance(wanted.data, Raw) else result or b"{}"
    options = msgspec.structs.replace(options, flow_id=flow_id, metadata=metadata)
    job = NewJob(wanted.name, data, options)
    wire.check_name(wanted.queue, "queue", limits.QUEUE_NAME_BYTES_MAX)
    wire.check_job(job, "")
    return wanted.queue, job


def _push_one(state: State, tx: Tx, parent: bytes, wanted: tuple[str, NewJob]) -> None:
    name, job = wanted
    options = job.options or JobOptions()
    depends_on = [*(options.depends_on or []), id_text(parent)]
    if state.job_row(tx, parent) is None:
        depends_on.pop()  # The parent was removed on completion, so there is nothing left to wait for.
    options = msgspec.structs.replace(options, depends_on=depends_on)
    queue = push.open_queue(state, tx, name, 1, inner=True)
    ids = push.push_rich(state, tx, queue, [NewJob(job.name, job.data, options)], in_batch=False)
    tx.events.append(JobsChanged("pushed", queue.name, ids))


def _without_follow_ups(metadata: bytes) -> bytes | None:
    members = _members.decode(metadata)
    members.pop("follow_ups", None)
    return msgspec.json.encode(members) if members else None
