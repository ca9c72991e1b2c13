"""A member that comes back with a long log: it catches up beside its other work, and not instead of it."""

from random import Random

from rustqueue.model import limits
from rustqueue.model.entry import ENTRY_VERSION, Entry, encode_entry
from rustqueue.raft.links import member_id
from rustqueue.raft.messages import Append, LogRecord
from rustqueue.raft.records import KIND_ENTRY
from tests.simulation.member_node import FIRST_INCARNATION, SimMember
from tests.simulation.network import SimNetwork
from tests.simulation.node import WALL_MS
from tests.simulation.timeline import Timeline

NAMES = ["n0", "n1", "n2"]
LEADER = member_id("n1", FIRST_INCARNATION)
APPLY_MS = 4
ENTRIES = 40
COMMAND = b'{"cmd":"heartbeat","id":"0199c82c-c0f6-7000-8000-000000000000"}'.ljust(limits.APPLY_READ_BYTES)
"""So long that the clock is looked at after each entry."""


def a_record(number: int) -> LogRecord:
    return LogRecord(KIND_ENTRY, 1, encode_entry(Entry(ENTRY_VERSION, 1, WALL_MS + number, bytes(16), [COMMAND])))


def test_messages_of_one_turn_have_one_slice_of_applying() -> None:
    """A leader killed while another node caught up was once followed by thirty seconds without a leader: each message
    had a slice of its own, so that node did nothing else, and answered nobody.
    """
    # Given a member with a durable log of which it does not know that it is committed, and a slow machine
    timeline = Timeline()
    member = SimMember("n0", NAMES, timeline, SimNetwork(timeline, Random(1)), Random(2))
    member.start()
    records = [a_record(number) for number in range(1, ENTRIES + 1)]
    member.replicator.received(LEADER, Append(1, 0, 0, 0, 1, records))
    timeline.run_until(timeline.now_us + 10_000)
    assert (member.log.durable_index, member.machine.applied_index) == (ENTRIES, 0)
    member.toll.apply_us = APPLY_MS * 1_000
    # When many messages come in one turn, and each says that more is committed
    for committed in range(ENTRIES // 2, ENTRIES + 1):
        member.replicator.received(LEADER, Append(1, ENTRIES, 1, committed, 1, []))
    # Then no more is applied than belongs in a slice
    assert member.machine.applied_index == -(-limits.APPLY_SLICE_MS // APPLY_MS)
    # And the rest in turns to come
    timeline.run_until(timeline.now_us + 10_000)
    assert member.machine.applied_index == ENTRIES
    assert member.fatal is None
