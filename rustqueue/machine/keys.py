"""Where rows stand in the ordered store. The only module that knows the layout.

Numbers are big-endian so that byte order is numeric order. Queue names hold no zero byte, so `name + 0` ends them.
All rows of a queue but the job records are contiguous ranges; job records are reached through them.

    m                                          applied index, clock, hash, totals
    j id                                       job as pushed, written once
    s id                                       what became of it; absent while it was never returned or finished
    g id                                       live part of a leased job: progress, renewals, cancel request
    n queue                                    counters of a queue
    q queue                                    settings of a queue
    f queue priority seq                       block of ready jobs that nobody has taken yet
    w queue priority order                     one ready job: returned, delayed before, LIFO
    v queue group                              counters of a group of a queue; `f` and `w` rows of its jobs name it too
    r queue priority turn                      groups that may start a job, in the order of their turns
    y queue state id                           delayed and blocked jobs of a queue
    o queue outcome time index ordinal         block of finished jobs
    a index ordinal                            block of leases of one pull
    u queue key / c queue custom               unique key and custom id to job id
    K hash                                     key that a job was created under, to its id
    e parent child / p parent / x parent       dependencies, number of dependants, result kept for them
    l flow id                                  jobs of a flow
    d due kind reference                       what happens at a time
    i hash / k expiry hash                     idempotency keys and the order in which they lapse
    z id                                       sweeps
    H id                                       earlier attempts of a job
    W worker                                   when a worker was last seen, and whether it shall drain
    t id                                       bearer tokens: name, scopes, digest
    Td name / Tt name / Tr name number         a schedule as defined, its timetable, a line of its history
    hd name / hi id                            webhook, and its name by id
    hc webhook                                 counters of a webhook
    ho webhook delivery / hg webhook delivery  what waits to be delivered, and what was given up
    hl webhook slot                            last tries of a webhook
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

META: Final = b"m"

_u16 = Struct(">H")
_u32 = Struct(">I")
_u64 = Struct(">Q")
_lane = Struct(">IQ")
_block = Struct(">QI")
_outcome = Struct(">BQQI")

_ORDER_ZERO: Final = 1 << 63
_PRIORITY_ZERO: Final = 1 << 31

DUE_LEASE: Final = 1
DUE_READY: Final = 2
DUE_TTL: Final = 3
DUE_RETENTION: Final = 4
DUE_IDEMPOTENCY: Final = 5
DUE_SWEEP: Final = 6
DUE_SETTLE: Final = 7
DUE_WORKER: Final = 30

DELAYED_INDEX: Final = 1
BLOCKED_INDEX: Final = 2


def after(prefix: bytes) -> bytes:
    """The smallest key greater than every key that starts with `prefix` (whose last byte is below 255)."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def job(job_id: bytes) -> bytes:
    return b"j" + job_id


def state(job_id: bytes) -> bytes:
    return b"s" + job_id


def live(job_id: bytes) -> bytes:
    return b"g" + job_id


def queue_part(name: str) -> bytes:
    return name.encode("ascii") + b"\0"


def counters(queue: bytes) -> bytes:
    return b"n" + queue


def settings(queue: bytes) -> bytes:
    return b"q" + queue


def lane(priority: int, order: int) -> bytes:
    """Sort key of a ready job: higher priority first, then `order` (the sequence number; negated for LIFO)."""
    return _lane.pack(_PRIORITY_ZERO - 1 - priority, order + _ORDER_ZERO)


def lane_parts(text: bytes) -> tuple[int, int]:
    inverted, order = _lane.unpack(text)
    return _PRIORITY_ZERO - 1 - inverted, order - _ORDER_ZERO


LANE_BYTES: Final = _lane.size


def fresh(queue: bytes, sort: bytes) -> bytes:
    return b"f" + queue + sort


def single(queue: bytes, sort: bytes) -> bytes:
    return b"w" + queue + sort


def group_part(queue: bytes, group: str) -> bytes:
    """What stands for the queue in keys of a group's ready jobs. The length comes first: no group begins another."""
    text = group.encode("utf-8")
    return b"%b%b%b" % (grouped_part(queue), _u16.pack(len(text)), text)


def grouped_part(queue: bytes) -> bytes:
    """What all parts of groups of a queue begin with."""
    return queue[:-1] + b"\x01"


def ready_parts(key: bytes) -> tuple[str, str | None, bytes]:
    """Queue, group and sort key of a row of ready jobs."""
    name, _, rest = key[1:].partition(b"\0")
    if b"\x01" not in name:
        return name.decode("ascii"), None, rest
    name, _, rest = key[1:].partition(b"\x01")
    end = 2 + _u16.unpack(rest[:2])[0]
    return name.decode("ascii"), rest[2:end].decode("utf-8"), rest[end:]


def group(queue: bytes, name: str) -> bytes:
    return group_prefix(queue) + name.encode("utf-8")


def group_prefix(queue: bytes) -> bytes:
    return b"v" + queue


def group_of(queue: bytes, key: bytes) -> str:
    return key[1 + len(queue) :].decode("utf-8")


def ring(queue: bytes, priority: int, turn: int) -> bytes:
    return ring_prefix(queue) + lane(priority, turn)


def ring_prefix(queue: bytes) -> bytes:
    return b"r" + queue


def parked(queue: bytes, index: int, job_id: bytes) -> bytes:
    return b"y" + queue + bytes((index,)) + job_id


def parked_prefix(queue: bytes, index: int) -> bytes:
    return b"y" + queue + bytes((index,))


def outcome(queue: bytes, code: int, at_ms: int, index: int, ordinal: int) -> bytes:
    return b"o" + queue + _outcome.pack(code, at_ms, index, ordinal)


def outcome_prefix(queue: bytes, code: int) -> bytes:
    return b"o" + queue + bytes((code,))


OUTCOME_BYTES: Final = _outcome.size - 1
"""What follows an outcome prefix in a key."""


def outcome_at(key: bytes) -> int:
    """The time in an outcome key."""
    return int.from_bytes(key[-20:-12], "big")


def lease_block(index: int, ordinal: int) -> bytes:
    return b"a" + _block.pack(index, ordinal)


def unique(queue: bytes, key: str) -> bytes:
    return b"u" + queue + key.encode("utf-8")


def custom(queue: bytes, custom_id: str) -> bytes:
    return b"c" + queue + custom_id.encode("utf-8")


def creation(scope: str, key: str) -> bytes:
    return b"K" + blake2b(f"{scope}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def edge(parent: bytes, child: bytes) -> bytes:
    return b"e" + parent + child


def dependants(parent: bytes) -> bytes:
    return b"p" + parent


def history(job_id: bytes) -> bytes:
    return b"H" + job_id


WORKERS: Final = b"W"


def worker(worker_id: str) -> bytes:
    return WORKERS + worker_id.encode("utf-8")


def kept_result(parent: bytes) -> bytes:
    return b"x" + parent


def flow(flow_id: str, job_id: bytes) -> bytes:
    return flow_prefix(flow_id) + job_id


def flow_prefix(flow_id: str) -> bytes:
    text = flow_id.encode("utf-8")
    return b"l" + _u32.pack(len(text)) + text


def due(at_ms: int, kind: int, reference: bytes) -> bytes:
    return b"d" + _u64.pack(at_ms) + bytes((kind,)) + reference


def due_from(at_ms: int) -> bytes:
    return b"d" + _u64.pack(at_ms)


def due_parts(key: bytes) -> tuple[int, int, bytes]:
    return int.from_bytes(key[1:9], "big"), key[9], key[10:]


DUE_END: Final = b"e"


def idempotency(digest: bytes) -> bytes:
    return b"i" + digest


def idempotency_expiry(at_ms: int, digest: bytes) -> bytes:
    return b"k" + _u64.pack(at_ms) + digest


def token(token_id: str) -> bytes:
    return b"t" + token_id.encode("utf-8")


def sweep(sweep_id: bytes) -> bytes:
    return b"z" + sweep_id


SCHEDULES: Final = b"Td"


def schedule_part(name: str) -> bytes:
    """A schedule's name inside keys; it holds no control characters, so a zero ends it."""
    return name.encode("utf-8") + b"\0"


def schedule(part: bytes) -> bytes:
    return SCHEDULES + part


def timetable(part: bytes) -> bytes:
    return b"Tt" + part


def schedule_runs(part: bytes) -> bytes:
    return b"Tr" + part


def schedule_run(part: bytes, number: int) -> bytes:
    return b"Tr" + part + _u64.pack(number)


def webhook(name: str) -> bytes:
    return b"hd" + name.encode("ascii")


WEBHOOKS: Final = (b"hd", b"he")


def webhook_name(webhook_id: bytes) -> bytes:
    return b"hi" + webhook_id


def webhook_counters(webhook_id: bytes) -> bytes:
    return b"hc" + webhook_id


def outbox(webhook_id: bytes, delivery_id: bytes = b"") -> bytes:
    """Ids are ordered by creation, so a webhook's outbox is in order of its events."""
    return b"ho" + webhook_id + delivery_id


def given_up(webhook_id: bytes, delivery_id: bytes = b"") -> bytes:
    return b"hg" + webhook_id + delivery_id


def tried(webhook_id: bytes, slot: int) -> bytes:
    return b"hl" + webhook_id + bytes((slot,))


def of_webhook(prefix: bytes) -> tuple[bytes, bytes]:
    """Start and end of the rows of one webhook under `outbox` or `given_up`."""
    return prefix, prefix + b"\xff" * 17


HASHED: Final = frozenset(b"hjsgnqfwvryoaucepxlztTHWK")
"""First bytes of the rows that count for the state hash: not idempotency rows, not the meta row (design 4.5)."""

DUE: Final = ord("d")
DUE_UNHASHED_BYTES: Final = 10
"""Due rows count too, but for the one of idempotency: it alone has no reference, so its key has this length."""
