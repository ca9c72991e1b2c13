"""What the pieces of a member share: its seat, log, links, clock and chance, and how patient it is.

It must not decide anything. Invariants: the present configuration is the newest one in the log, committed or not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from rustqueue.model import limits
from rustqueue.model.commands import Command, Members
from rustqueue.model.entry import decode_entry
from rustqueue.model.errors import ApiError
from rustqueue.raft.cluster.config import Config, config_of
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.syncobj import Seat
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.links import Links
from rustqueue.raft.ports import Clock, Disk, Executor
from rustqueue.raft.records import KIND_CONFIG
from rustqueue.raft.space import SpaceRules


@dataclass(frozen=True, slots=True)
class Timing:
    """A follower that hears nothing for a time drawn between the two bounds campaigns; leaders beat far more often."""

    heartbeat_ms: int = 50
    election_min_ms: int = 300
    election_max_ms: int = 600

    @property
    def election_min_us(self) -> int:
        return self.election_min_ms * 1_000

    @property
    def election_max_us(self) -> int:
        return self.election_max_ms * 1_000


def decode_config(payload: bytes) -> Config:
    """The configuration that a record of kind `KIND_CONFIG` holds."""
    entry = decode_entry(payload)
    assert len(entry.commands) == 1, "a configuration stands alone in its entry"
    return config_of(msgspec.json.decode(entry.commands[0], type=Members))


@dataclass(slots=True)
class ConfigLog:
    """The configurations of the log: `base` is older than all others."""

    base: tuple[int, Config]
    later: list[tuple[int, Config]] = field(default_factory=list)

    @property
    def current(self) -> Config:
        return self.later[-1][1] if self.later else self.base[1]

    @property
    def current_index(self) -> int:
        return self.later[-1][0] if self.later else self.base[0]

    def add(self, index: int, config: Config) -> None:
        self.later.append((index, config))

    def cut_from(self, index: int) -> bool:
        """Whether the present configuration changed by it."""
        before = len(self.later)
        while self.later and self.later[-1][0] >= index:
            self.later.pop()
        return len(self.later) != before

    def replace(self, index: int, config: Config) -> None:
        self.base, self.later = (index, config), []


def open_configs(log: MemberLog, base_index: int, base: Config) -> ConfigLog:
    """`base` is in force at `base_index`; what the log holds behind it is newer."""
    configs = ConfigLog((base_index, base))
    for record in log.read_from(max(log.first_index, base_index + 1)):
        if record.kind == KIND_CONFIG:
            configs.add(record.index, decode_config(record.payload))
    return configs


@dataclass(slots=True)
class Parts:
    """Shared by election, leading and following. `chance(n)` is a number from 0 to n - 1."""

    seat: Seat
    log: MemberLog
    links: Links
    clock: Clock
    chance: Callable[[int], int]
    timing: Timing
    configs: ConfigLog

    @property
    def config(self) -> Config:
        return self.configs.current

    @property
    def me(self) -> str:
        return self.seat.me

    def voters(self) -> tuple[str, ...]:
        return self.config.voters

    def is_voter(self) -> bool:
        return self.me in self.config.voters

    def others(self) -> Iterator[str]:
        """The other members, learners too, in order."""
        return (member.id for member in self.config.members if member.id != self.me)

    def other_voters(self) -> Iterator[str]:
        return (voter for voter in self.config.voters if voter != self.me)


@dataclass(frozen=True, slots=True)
class ReplicatorPorts:
    """`seed` gives sixteen random bytes; `background` is a thread for flushes and files."""

    disk: Disk
    background: Executor
    seed: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ReplicatorOptions:
    """What a node may set. `survivable` tells which failures of the store are only a want of room."""

    pending_bytes: int = limits.PENDING_BYTES_MAX
    entry_bytes: int = limits.ENTRY_BYTES_MAX
    entry_commands: int = limits.ENTRY_COMMANDS_MAX
    rounds: int = 2
    digest_every: int = limits.DIGEST_ENTRIES
    lag_entries: int = limits.CAMPAIGN_LAG_ENTRIES
    flush: FlushRules = field(default_factory=FlushRules)
    space: SpaceRules = field(default_factory=SpaceRules)
    survivable: Callable[[BaseException], bool] = lambda _: False
    too_early: Callable[[Command], ApiError | None] | None = None
    """Why a command may not be proposed yet; None: every command may."""
