"""What is unusual in a world besides its faults: small entries, short logs, large snapshots, the next release.

It must not know nodes or faults. Half of the worlds are as nodes are set up by default; each of the others draws its
oddities from a generator of its own, so that a seed has the same faults with and without.
"""

from dataclasses import dataclass, field
from random import Random

from rustqueue.model import limits
from rustqueue.model.commands import Cancel, Command
from rustqueue.model.errors import ApiError, Unavailable
from rustqueue.raft.group import GroupRules

_PENDING_BYTES = 4_000
"""Less than the largest batches of the clients here have: those are refused for good, others now and then."""
_RARE_FLUSH_BYTES = 1_000_000
"""A start has to replay nearly all of the log."""


@dataclass(frozen=True, slots=True)
class Oddities:
    """Sizes are those that a node may set."""

    segment_bytes: int = 16_000
    flush_bytes: int = 12_000
    kept_bytes: int = 40_000
    digest_every: int = 64
    entry_bytes: int = limits.ENTRY_BYTES_MAX
    entry_commands: int = limits.ENTRY_COMMANDS_MAX
    pending_bytes: int = limits.PENDING_BYTES_MAX
    group: GroupRules = field(default_factory=GroupRules)
    filler_bytes: int = 0
    """Of every file of a snapshot, so that it travels in several parts."""
    lacks_cancel: bool = False
    """To cancel is a thing of the next release, which is not in force yet."""
    founds: bool = False
    """The nodes begin with empty folders and have to found their cluster."""
    is_lone: bool = False
    """The cluster begins with one member, as one that was restored does."""


PLAIN = Oddities()


def draw(rng: Random) -> Oddities:
    """Of one world."""
    if rng.random() < 0.5:
        return PLAIN
    is_short = rng.random() < 0.5
    has_small_entries = rng.random() < 0.3
    waits = rng.random() < 0.3
    return Oddities(
        segment_bytes=rng.choice((300, 2_000, 4_000)) if is_short else PLAIN.segment_bytes,
        flush_bytes=rng.choice((400, 3_000)) if is_short else rng.choice((PLAIN.flush_bytes, _RARE_FLUSH_BYTES)),
        kept_bytes=3_000 if is_short else PLAIN.kept_bytes,
        digest_every=rng.choice((1, 3, 16, 64)),
        entry_bytes=rng.choice((100, 2_000)) if has_small_entries else PLAIN.entry_bytes,
        entry_commands=rng.choice((1, 2, 5)) if has_small_entries else PLAIN.entry_commands,
        pending_bytes=_PENDING_BYTES if rng.random() < 0.3 else PLAIN.pending_bytes,
        group=GroupRules(rng.choice((1, 5)), rng.choice((2, 10))) if waits else PLAIN.group,
        filler_bytes=rng.randrange(3 * limits.SNAPSHOT_PART_BYTES) if rng.random() < 0.3 else 0,
        lacks_cancel=rng.random() < 0.4,
        founds=rng.random() < 0.5,
        is_lone=rng.random() < 0.2,
    )


def too_early(command: Command) -> ApiError | None:
    """Says why a command of the next release is not taken yet."""
    return Unavailable("FEATURE_NOT_ACTIVE", "simulated") if isinstance(command, Cancel) else None
