"""The single-node replicator on simulated time, disk and threads, with a machine that counts."""

import errno
from dataclasses import replace

import pytest

from rustqueue.model.replies import Pushed, Reply
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.journal import JournalError
from rustqueue.raft.local import LocalOptions
from rustqueue.raft.ports import Proposal
from rustqueue.storage import StoreFullError
from rustqueue.storage.memory import MemoryKV
from tests.simulation.disk import SimDisk
from tests.simulation.single import BEAT, OPTIONS, PUSH, SYNC_US, WALL_MS, Bench

# Rounds.


def test_a_reply_comes_after_sync_and_apply() -> None:
    bench = Bench()
    bench.propose(b"one")
    bench.settle(SYNC_US - 1)
    assert (bench.replies, bench.node.applied_index, bench.node.durable_index) == ({}, 0, 0)
    bench.settle(1)
    assert bench.replies == {b"one": Pushed(id="1/0")}
    assert (bench.node.applied_index, bench.node.durable_index, bench.node.last_index) == (1, 1, 1)
    assert bench.node.pending_bytes == 0


def test_proposals_of_one_turn_share_an_entry_and_later_ones_gather_for_the_next() -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.propose(b"b")
    bench.settle(SYNC_US // 2)
    bench.propose(b"c")
    bench.propose(b"d")
    bench.settle()
    assert bench.applied() == [[b"a", b"b"], [b"c", b"d"]]


def test_the_next_sync_begins_before_the_finished_entry_is_applied() -> None:
    bench = Bench()
    syncing_at_apply: list[bool] = []
    bench.before_apply = lambda index: syncing_at_apply.append(bench.journal.syncing)
    bench.propose(b"a")
    bench.settle(SYNC_US // 2)
    bench.propose(b"b")
    bench.settle()
    assert syncing_at_apply == [True, False]


@pytest.mark.parametrize(
    ("options", "entries"),
    [
        (replace(OPTIONS, entry_commands=2), [[b"11", b"22"], [b"33", b"44"], [b"55"]]),
        (replace(OPTIONS, entry_bytes=5), [[b"11", b"22"], [b"33", b"44"], [b"55"]]),
        (replace(OPTIONS, entry_bytes=1), [[b"11"], [b"22"], [b"33"], [b"44"], [b"55"]]),
    ],
)
def test_a_large_turn_is_split(options: LocalOptions, entries: list[list[bytes]]) -> None:
    bench = Bench(options)
    for raw in (b"11", b"22", b"33", b"44", b"55"):
        bench.propose(raw)
    bench.settle()
    assert bench.applied() == entries


def test_what_waits_is_bounded() -> None:
    bench = Bench(replace(OPTIONS, pending_bytes=10))
    bench.propose(b"12345678")
    bench.propose(b"abc")
    assert bench.refused_code(b"abc") == "OVERLOADED"
    bench.settle()
    bench.propose(b"def")
    bench.settle()
    assert bench.applied() == [[b"12345678"], [b"def"]]


def test_an_entry_may_be_added_to_while_it_is_closed() -> None:
    bench = Bench()
    delivered: list[Reply] = []

    def add_pull(proposals: list[Proposal]) -> None:
        proposals.append(Proposal(BEAT, b"pull", delivered.append))

    bench.node.on_assemble = add_pull
    bench.propose(b"push")
    bench.settle()
    assert bench.applied() == [[b"push", b"pull"]]
    assert delivered == [Pushed(id="1/1")]
    assert bench.node.pending_bytes == 0


# Time.


def test_stamps_follow_the_monotonic_clock_and_lean_on_the_wall() -> None:
    # Given a node, and a wall clock that steps an hour ahead
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    first_ms = bench.machine.now_ms
    assert first_ms == WALL_MS
    bench.host.step_wall(3_600_000)
    # When ten seconds pass, then time has run a tenth faster, and no more
    bench.settle(9_000_000)
    bench.propose(b"b")
    bench.settle()
    assert bench.machine.now_ms - first_ms == 11_000
    # When the wall goes back two hours, then time goes on, a tenth slower
    bench.host.step_wall(-7_200_000)
    bench.settle(9_000_000)
    bench.propose(b"c")
    bench.settle()
    assert bench.machine.now_ms - first_ms == 11_000 + 9_000


def test_a_start_may_jump_forward_and_never_back() -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.crash(power=False)
    bench.host.step_wall(-3_600_000)
    bench.start()
    assert bench.node.now_ms() == WALL_MS
    bench.crash(power=False)
    bench.host.step_wall(7_200_000)
    bench.start()
    assert bench.node.now_ms() == WALL_MS + 3_600_000 + 1_000


# Start and end.


@pytest.mark.parametrize("power", [False, True])
def test_a_restart_replays_what_the_store_has_not(power: bool) -> None:
    # Given three entries, of which the store has flushed one
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.kv.flush()
    for raw in (b"b", b"c"):
        bench.propose(raw)
        bench.settle()
    # When the node dies and starts again
    bench.crash(power)
    bench.start()
    # Then the others are applied from the log, each once
    assert bench.applied() == [[b"b"], [b"c"]]
    assert bench.machine.commands() == [b"a", b"b", b"c"]
    assert bench.node.replayed_count == 2
    assert bench.node.term == 1


def test_a_store_ahead_of_its_journal_is_refused() -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.kv.flush()
    bench.process.alive = False
    bench.disk = SimDisk()
    with pytest.raises(JournalError, match="the journal ends at 0"):
        bench.start()


def test_a_store_behind_its_journal_is_refused() -> None:
    bench = Bench(replace(OPTIONS, flush=FlushRules(log_bytes=1)), segment_bytes=100)
    for number in range(4):
        bench.propose(b"%d" % number * 200)
        bench.settle()
    assert bench.journal.first_index > 1
    bench.process.alive = False
    bench.kv = MemoryKV()
    with pytest.raises(JournalError, match="entries between are missing"):
        bench.start()


def test_a_journal_without_term_and_vote_is_refused() -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.process.alive = False
    bench.disk.remove("j/hardstate")
    with pytest.raises(JournalError, match="hardstate"):
        bench.start()


def test_a_stop_answers_what_is_in_flushes_and_refuses_the_rest() -> None:
    bench = Bench()
    bench.propose(b"a")
    stopped: list[bool] = []
    bench.node.stop(lambda: stopped.append(True))
    bench.propose(b"b")
    assert bench.refused_code(b"b") == "SHUTTING_DOWN"
    bench.settle()
    assert stopped == [True]
    assert bench.replies[b"a"] == Pushed(id="1/0")
    # Then nothing is left to replay
    bench.process.alive = False
    bench.kv.crash()
    bench.start()
    assert bench.node.replayed_count == 0


# Flushes.


def test_the_store_is_flushed_by_log_size_and_the_log_dropped() -> None:
    bench = Bench(replace(OPTIONS, flush=FlushRules(log_bytes=500)), segment_bytes=300)
    for number in range(12):
        bench.propose(b"%x" % number * 200)
        bench.settle(20_000)
    bench.settle()
    assert bench.node.flushed_index >= 9
    assert bench.journal.first_index > 1
    # Then what is left is enough, even when the power goes
    bench.crash(power=True)
    bench.start()
    assert bench.machine.commands() == [b"%x" % number * 200 for number in range(12)]


def test_the_store_is_flushed_by_the_count_of_entries_so_that_a_start_has_little_to_replay() -> None:
    # Given a node that flushes after four entries, however small they are
    bench = Bench(replace(OPTIONS, flush=FlushRules(entries=4)))
    for number in range(3):
        bench.propose(b"%d" % number)
        bench.settle(100_000)
    assert bench.node.flushed_index == 0
    # When the fourth is applied, then it flushes, and counts from there
    for number in range(3, 10):
        bench.propose(b"%d" % number)
        bench.settle(100_000)
    assert (bench.node.applied_index, bench.node.flushed_index) == (10, 8)
    bench.crash(power=True)
    bench.start()
    assert bench.node.replayed_count == 2


def test_what_was_replayed_counts_for_the_next_flush() -> None:
    # Given a log of three entries that no flush has seen
    bench = Bench(replace(OPTIONS, flush=FlushRules(entries=4)))
    for number in range(3):
        bench.propose(b"%d" % number)
        bench.settle(100_000)
    bench.crash(power=True)
    bench.start()
    assert bench.node.replayed_count == 3
    # When one more is applied, then that is enough for a flush, and after that nothing is replayed any more.
    bench.propose(b"3")
    bench.settle(100_000)
    assert bench.node.flushed_index == 4
    bench.crash(power=True)
    bench.start()
    assert bench.node.replayed_count == 0


def test_a_quiet_node_flushes_after_a_while_and_then_rests() -> None:
    bench = Bench(replace(OPTIONS, flush=FlushRules(interval_ms=10_000)))
    bench.propose(b"a")
    bench.settle(9_999_000)
    assert bench.node.flushed_index == 0
    bench.settle(100_000_000)
    assert bench.node.flushed_index == 1
    # Then nothing is scheduled any more: an idle node does not poll
    assert not bench.timeline.step()


def test_what_was_applied_while_a_flush_ran_is_not_dropped() -> None:
    # Given a flush that has begun
    bench = Bench(replace(OPTIONS, flush=FlushRules(log_bytes=1)), segment_bytes=100)
    bench.propose(b"a" * 200)
    bench.settle(SYNC_US)
    # When an entry is applied before it ends
    bench.propose(b"b" * 200)
    bench.settle(SYNC_US)
    assert (bench.node.applied_index, bench.node.flushed_index) == (2, 0)
    bench.settle(4_100)
    assert bench.node.flushed_index == 1
    # Then the log still has it
    assert [record.index for record in bench.journal.read_from(2)] == [2]


def test_a_flush_that_finds_no_room_is_tried_again_and_other_failures_stop() -> None:
    bench = Bench(replace(OPTIONS, flush=FlushRules(log_bytes=1, retry_ms=1_000)))
    failures: list[Exception] = [StoreFullError("full"), StoreFullError("full"), OSError(errno.EIO, "no")]

    def flush() -> None:
        if failures:
            raise failures.pop(0)

    bench.kv.flush = flush  # type: ignore[method-assign]
    bench.propose(b"a")
    bench.settle(10_000)
    assert (bench.fatal, len(failures)) == ([], 2)
    bench.settle(10_000_000)
    assert [type(error) for error in bench.fatal] == [OSError]


# Due work.


def test_a_tick_comes_when_something_is_due_and_not_before() -> None:
    bench = Bench()
    bench.machine.due_ms = [WALL_MS + 500]
    bench.propose(b"a")
    bench.settle(499_000)
    assert bench.applied() == [[b"a"]]
    bench.settle(3_000)
    assert bench.applied() == [[b"a"], [b'{"cmd":"!tick"}']]
    assert bench.node.pending_bytes == 0


def test_a_tick_far_ahead_is_on_time_though_the_stamps_run_fast() -> None:
    # Given something due in ten days, and a wall clock that is far ahead, so that stamps run a tenth faster
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.host.step_wall(1_000_000_000_000)
    due_ms = bench.machine.now_ms + 864_000_000
    bench.machine.due_ms = [due_ms]
    bench.propose(b"b")
    bench.settle(SYNC_US)
    # When it comes, then only a few timers were needed, and it is not late
    steps_count = 0
    while len(bench.machine.entries) < 3 and bench.timeline.step():
        steps_count += 1
    assert bench.applied()[2] == [b'{"cmd":"!tick"}']
    assert 0 <= bench.machine.now_ms - due_ms <= 200
    assert steps_count < 20


def test_a_backlog_is_worked_off_at_once_when_nobody_else_waits() -> None:
    # Given more due work than five ticks can do
    bench = Bench()
    bench.machine.due_ms = [WALL_MS - number for number in range(5)]
    bench.machine.due_at_once_max = 1
    bench.propose(b"a")
    # When the time of seven entries has passed
    bench.settle(7 * SYNC_US)
    # Then it is done, but for the first pause that is kept after a client's entry
    bench.settle(10_000)
    assert bench.machine.due_ms == []


def test_due_rows_that_trickle_in_share_ticks() -> None:
    bench = Bench()
    bench.machine.due_ms = [WALL_MS + number for number in range(100, 200)]
    bench.propose(b"a")
    bench.settle()
    ticks_count = len(bench.machine.entries) - 1
    assert 9 <= ticks_count <= 12


def test_ticks_leave_room_for_clients() -> None:
    # Given due work without end, and a client who always wants something
    bench = Bench()
    bench.machine.due_ms = [WALL_MS] * 10_000
    bench.machine.due_at_once_max = 1

    def again(_: Reply) -> None:
        bench.node.propose(Proposal(PUSH, b"a", again))

    again(Pushed(id=""))
    bench.settle()
    # Then only a small part of the entries are ticks
    ticks_count = bench.applied().count([b'{"cmd":"!tick"}'])
    assert 0 < ticks_count * 5 < len(bench.applied())
