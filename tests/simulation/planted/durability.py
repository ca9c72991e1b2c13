"""Bugs of one node's durability: journal and flush."""

from collections.abc import Callable

from rustqueue.raft.journal import Journal, JournalDamaged, Segment, SyncDone
from rustqueue.raft.local import LocalReplicator
from tests.simulation.node import Variant
from tests.simulation.planted.bug import Bug
from tests.simulation.world import World


class _NoSyncFile:
    """A file whose sync does nothing."""

    def __init__(self, inner: object) -> None:
        self.write_at = inner.write_at  # type: ignore[attr-defined]
        self.truncate = inner.truncate  # type: ignore[attr-defined]
        self.close = inner.close  # type: ignore[attr-defined]

    def sync(self) -> None:
        pass


class UnsyncedJournal(Journal):
    """Writes entries and never syncs them."""

    def open(self) -> None:
        super().open()
        self._file = _NoSyncFile(self._file)


class HastyJournal(Journal):
    """Says that a group is durable as soon as it is handed to the thread."""

    def sync(self, done: SyncDone) -> None:
        upto = self.last_index
        super().sync(lambda error: None)
        self._syncing = False
        self.durable_index = upto
        done(None)


class GreedyJournal(Journal):
    """Drops one segment too many: the entry behind the flushed ones goes with it."""

    def drop_before(self, index: int) -> list[str]:
        return super().drop_before(index + 1)


class TornJournal(Journal):
    """Leaves a torn end where it is and writes on behind it, as a file opened for appending does."""

    def _settle_end(self, segment: Segment) -> None:
        if self.cut is not None and self.cut.path == segment.path:
            self._doubtful_from = segment.end_offset = self._disk.size_bytes(segment.path)
            self.cut = None
        super()._settle_end(segment)


class OverwritingJournal(Journal):
    """Writes on over a torn end without cutting it first, so that the rest of it lies behind the new end."""

    def _settle_end(self, segment: Segment) -> None:
        self.cut = None
        super()._settle_end(segment)


class TrustingJournal(Journal):
    """Takes whatever cannot be read for the end of the log."""

    def _find_end(self, segment: Segment) -> bool:
        try:
            return super()._find_end(segment)
        except JournalDamaged as damage:
            self._disk.open(segment.path).truncate(damage.offset)
            return super()._find_end(segment)


class RetryingJournal(Journal):
    """Tries a failed sync again and believes it, as PostgreSQL once did."""

    def sync(self, done: SyncDone) -> None:
        def again(error: BaseException | None) -> None:
            if isinstance(error, OSError) and self.failed is error:
                self.failed = None
                self._segments[-1].end_offset = self._disk.size_bytes(self._segments[-1].path)
                self.durable_index = self.last_index
                error = None
            done(error)

        super().sync(again)


class LateFlushReplicator(LocalReplicator):
    """Drops the log up to what was applied when a flush ended, not when it began."""

    def start(self) -> None:
        super().start()
        flush = self._flush
        ended = flush._ended

        def late(index: int, log_bytes: int, error: BaseException | None) -> None:
            ended(self._machine.applied_index, log_bytes, error)

        flush._ended = late  # type: ignore[method-assign]


def _world(variant: Variant, *kinds: str) -> Callable[[int], World]:
    return lambda seed: World(seed, variant, kinds, _LOAD_US)


class HarshWorld(World):
    """Power goes all the time."""

    fault_mean_us = 800_000


def _harsh(variant: Variant) -> Callable[[int], World]:
    return lambda seed: HarshWorld(seed, variant, ("power cut", "slow disk"), _LOAD_US)


_LOAD_US = 15_000_000
_SMALL = Variant(replicator=LateFlushReplicator, segment_bytes=300, flush_bytes=1_000)

BUGS = (
    Bug("sync removed", _world(Variant(journal=UnsyncedJournal), "power cut")),
    Bug("answered before durable", _world(Variant(journal=HastyJournal), "power cut")),
    Bug(
        "log dropped one too far",
        _world(Variant(journal=GreedyJournal, segment_bytes=100, flush_bytes=1_000), "power cut", "kill"),
    ),
    Bug("torn end not cut", _world(Variant(journal=TornJournal), "power cut")),
    Bug("torn end written over", _harsh(Variant(journal=OverwritingJournal))),
    Bug("damage taken for the end", _world(Variant(journal=TrustingJournal), "bit flip")),
    Bug("failed sync tried again", _world(Variant(journal=RetryingJournal), "sync error", "power cut")),
    Bug("log dropped up to the end of a flush", _harsh(_SMALL)),
)
