"""What is stored: array-encoded structs, and their encoders.

Every struct may grow at its end only (a shorter array decodes with the defaults), and a change of meaning raises
`ROWS_VERSION` (design 4.8).
"""

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from rustqueue.model import limits
from rustqueue.model.cluster.features import FIRST_LEVEL
from rustqueue.model.tokens import Scope

ROWS_VERSION: Final = 1

WAITING: Final = 1
DELAYED: Final = 2
BLOCKED: Final = 3
ACTIVE: Final = 4
COMPLETED: Final = 5
DLQ: Final = 6
CANCELLED: Final = 7

STATE_NAMES: Final = {
    WAITING: "waiting",
    DELAYED: "delayed",
    BLOCKED: "blocked",
    ACTIVE: "active",
    COMPLETED: "completed",
    DLQ: "dlq",
    CANCELLED: "cancelled",
}
STATE_CODES: Final = {name: code for code, name in STATE_NAMES.items()}
FINISHED: Final = (COMPLETED, DLQ, CANCELLED)
ATTEMPT_OUTCOMES: Final = ("failed", "stalled", "timed_out", "completed", "cancelled")
STALLED: Final = "job stalled (no heartbeat)"
TIMED_OUT: Final = "job timed out"
BACKOFFS: Final = ("fixed", "linear", "exponential", "decorrelated_jitter")
POLICIES: Final = ("cascade", "ignore", "continue")


class Extras(Struct, array_like=True, gc=False, frozen=True):
    """What only some jobs have. A job without any of it stores None instead. `creation` is the key that the job was
    created under, behind whose key it is.
    """

    max_backoff_ms: int | None = None
    ttl_ms: int | None = None
    lease_ms: int | None = None
    unique_key: str | None = None
    tags: list[str] = []
    group_id: str | None = None
    lifo: bool = False
    remove_on_complete: bool = False
    remove_on_fail: bool = False
    custom_id: str | None = None
    metadata: bytes | None = None
    depends_on: list[bytes] = []
    flow_id: str | None = None
    policy: int = 0
    traceparent: str | None = None
    depth: int = 0
    creation: tuple[str, str] | None = None


class JobRow(Struct, array_like=True, gc=False, frozen=True):
    """A job as it was pushed. `data` is JSON text. `seq` orders the jobs of a queue."""

    queue: str
    name: str
    data: bytes
    created_at: int
    seq: int
    priority: int
    max_attempts: int
    timeout_ms: int | None
    backoff: int
    backoff_delay_ms: int
    extras: Extras | None = None


class Trace(Struct, array_like=True, gc=False, frozen=True):
    """What running leaves behind: progress, log lines (time, text), worker, heartbeat."""

    progress: int | None = None
    logs: list[tuple[int, str]] = []
    worker_id: str | None = None
    last_heartbeat: int | None = None


class StateRow(Struct, array_like=True, gc=False, frozen=True):
    """What became of a job. `until` is delay_until of a delayed job and the time of completion of a finished one.

    `index` and `ordinal` say in which outcome block a finished job stands; `pending` counts a blocked job's parents.
    A finished job has a `token` if a worker ended it. `history`: there is a row of earlier tries.
    """

    state: int
    attempt: int
    fence: int
    updated_at: int
    started_at: int | None = None
    until: int | None = None
    last_error: str | None = None
    result: bytes | None = None
    token: str | None = None
    index: int = 0
    ordinal: int = 0
    pending: int = 0
    trace: Trace | None = None
    history: bool = False


class AttemptRow(Struct, array_like=True, gc=False, frozen=True):
    """A try that is over. `outcome` is a place in `ATTEMPT_OUTCOMES`."""

    fence: int
    worker_id: str | None
    started_at: int
    ended_at: int
    outcome: int
    error: str | None = None


class HistoryRow(Struct, array_like=True, gc=False, frozen=True):
    """The latest tries of a job that were not its last. Its state row says by `history` that this row is there."""

    attempts: list[AttemptRow] = []


class LiveRow(Struct, array_like=True, gc=False, frozen=True):
    """The changing part of a leased job. `until` is the renewed end of its lease."""

    until: int
    cancel_requested: bool = False
    trace: Trace | None = None


class LeaseBlockRow(Struct, array_like=True, gc=False, frozen=True):
    """Leases given by one pull: ids end to end and the fence of each (None: all 1)."""

    started_at: int
    lease_ms: int
    worker_id: str | None
    token: str
    ids: bytes
    fences: list[int] | None = None


class CountersRow(Struct, array_like=True, gc=False):
    """Counters of a queue and the times at which its retention is due, by outcome.

    Of the waiting jobs `grouped` have a group and `held` are of groups that run as many as they may. `turn` is the last
    turn given to a group, `plain_turn` that of the jobs without one.
    """

    seq: int = 0
    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    active: int = 0
    completed: int = 0
    dlq: int = 0
    cancelled: int = 0
    completed_due: int = 0
    dlq_due: int = 0
    cancelled_due: int = 0
    grouped: int = 0
    held: int = 0
    turn: int = 0
    plain_turn: int = 0


class WorkerRow(Struct, array_like=True, gc=False, frozen=True):
    """A worker by the id that it gives: when it was last seen, and until when it shall drain."""

    seen_at: int
    draining_until: int = 0


class GroupRow(Struct, array_like=True, gc=False, frozen=True):
    """A group with waiting or active jobs. `priority` is that of its next job, `turn` its place among equals; `parked`
    says that it runs as many jobs as it may.
    """

    waiting: int = 0
    active: int = 0
    turn: int = 0
    priority: int = 0
    parked: bool = False


class Ownership(Struct, array_like=True, frozen=True):
    """What declarations share: who made this one, and how often it has changed. `owner` is uid and ref; labels are in
    order of their keys.
    """

    revision: int = 0
    owner: tuple[str, str] | None = None
    labels: dict[str, str] = {}


class QueueRow(Struct, array_like=True, frozen=True):
    """Settings of a queue as JSON text of `QueueSettings`. `deleting` names the sweep that removes the queue."""

    settings: bytes
    created_at: int
    deleting: bytes | None = None
    ownership: Ownership = Ownership()


class IdempotencyRow(Struct, array_like=True, gc=False, frozen=True):
    """A remembered success: the request's hash, the kind of reply and the reply without payloads.

    Of a batch of `count` new jobs the reply names the first only: the ids of a batch are consecutive.
    """

    expires_at: int
    request: bytes
    kind: str
    reply: bytes
    count: int = 0


class SweepRow(Struct, array_like=True, gc=False, frozen=True):
    """A bulk verb that outlives its entry. `verb` is drain, clean, retry or delete; `cursor` the last key looked at."""

    verb: str
    queue: str
    state: str
    matched: int
    moved: int
    cursor: bytes
    stage: int = 0
    cutoff_seq: int = 0
    cutoff_ms: int = 0
    remaining: int | None = None
    outcome: int = 0
    filter: bytes | None = None
    rate_per_s: int | None = None
    dry_run: bool = False
    ended_at: int = 0


class TokenRow(Struct, array_like=True, gc=False, frozen=True):
    """A bearer token. `digest` is the SHA-256 of its text; the text itself is nowhere."""

    id: str
    name: str
    scopes: list[Scope]
    digest: bytes
    created_at: int
    expires_at: int | None = None


class MetaRow(Struct, array_like=True, gc=False):
    """State of the machine beside jobs. `parents`, `keys`, `queues` and `schedules` count `p`, `i`, `n` and `Td` rows;
    `members` is the last `Members` command as JSON; `feature_version` is the program that raised `feature_level`.
    """

    version: int = ROWS_VERSION
    applied_index: int = 0
    term: int = 0
    now_ms: int = 0
    state_hash: bytes = b""
    parents: int = 0
    keys: int = 0
    keys_due: int = 0
    defaults: bytes = b""
    queues: int = 0
    members: bytes = b""
    schedules: int = 0
    feature_level: int = FIRST_LEVEL
    feature_version: str = ""


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_job = msgspec.msgpack.Decoder(JobRow).decode
decode_state = msgspec.msgpack.Decoder(StateRow).decode
decode_live = msgspec.msgpack.Decoder(LiveRow).decode
decode_lease_block = msgspec.msgpack.Decoder(LeaseBlockRow).decode
decode_counters = msgspec.msgpack.Decoder(CountersRow).decode
decode_history = msgspec.msgpack.Decoder(HistoryRow).decode
decode_worker = msgspec.msgpack.Decoder(WorkerRow).decode
decode_group = msgspec.msgpack.Decoder(GroupRow).decode
decode_queue = msgspec.msgpack.Decoder(QueueRow).decode
decode_idempotency = msgspec.msgpack.Decoder(IdempotencyRow).decode
decode_sweep = msgspec.msgpack.Decoder(SweepRow).decode
decode_token = msgspec.msgpack.Decoder(TokenRow).decode
decode_meta = msgspec.msgpack.Decoder(MetaRow).decode


_R = TypeVar("_R", bound=Struct)


def changed(row: _R, **fields: Any) -> _R:
    """A copy with some fields changed."""
    return msgspec.structs.replace(row, **fields)


def last_attempt(row: StateRow) -> AttemptRow:
    """The try that a worker's word or time has ended, from the state row that it left."""
    error = row.last_error if row.state not in (COMPLETED, CANCELLED) else None
    outcome = {STALLED: "stalled", TIMED_OUT: "timed_out"}.get(error or "", "failed")
    if row.state in (COMPLETED, CANCELLED):
        outcome = STATE_NAMES[row.state]
    worker_id = row.trace.worker_id if row.trace is not None else None
    started_at, kept = (
        row.started_at or row.updated_at,
        None if error is None else error[: limits.HISTORY_ERROR_BYTES_MAX],
    )
    return AttemptRow(row.fence, worker_id, started_at, row.updated_at, ATTEMPT_OUTCOMES.index(outcome), kept)
