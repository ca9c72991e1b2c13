"""Group commit with a wait: commands wait for company, but not for long, and nothing else waits for them."""

from dataclasses import replace

from rustqueue.raft.group import GroupRules
from tests.simulation.single import OPTIONS, SYNC_US, WALL_MS, Bench

WAIT_US = 10_000


def a_bench(commands: int = 3) -> Bench:
    return Bench(replace(OPTIONS, group=GroupRules(wait_ms=10, commands=commands)))


def test_without_a_wait_a_command_is_answered_after_one_sync() -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.settle(SYNC_US)
    assert list(bench.replies) == [b"a"]


def test_commands_of_one_wait_share_an_entry_and_nobody_waits_longer_than_that() -> None:
    bench = a_bench()
    bench.propose(b"a")
    bench.settle(WAIT_US // 2)
    bench.propose(b"b")
    bench.settle(WAIT_US // 2 - 1)
    assert (bench.replies, bench.journal.last_index) == ({}, 0)
    bench.settle(SYNC_US + 1)
    assert bench.applied() == [[b"a", b"b"]]
    assert list(bench.replies) == [b"a", b"b"]
    # And the next group waits anew
    bench.propose(b"c")
    bench.settle(WAIT_US - 1)
    assert bench.journal.last_index == 1
    bench.settle(SYNC_US + 1)
    assert bench.applied() == [[b"a", b"b"], [b"c"]]


def test_a_full_group_does_not_wait() -> None:
    bench = a_bench(commands=3)
    for raw in (b"a", b"b", b"c"):
        bench.propose(raw)
    bench.settle(SYNC_US)
    assert list(bench.replies) == [b"a", b"b", b"c"]


def test_what_comes_during_a_sync_waits_from_then_on() -> None:
    # Given a group that is being synced
    bench = a_bench(commands=2)
    bench.propose(b"a")
    bench.propose(b"b")
    bench.settle(SYNC_US // 2)
    # When a command comes
    bench.propose(b"c")
    # Then the end of that sync does not begin the next one before its time
    bench.settle(WAIT_US - 1)
    assert (list(bench.replies), bench.journal.last_index) == ([b"a", b"b"], 1)
    bench.settle(SYNC_US + 1_000)
    assert bench.applied() == [[b"a", b"b"], [b"c"]]


def test_due_work_does_not_wait_for_a_group_nor_take_it_along() -> None:
    # Given something that will be due in the middle of the next wait
    bench = a_bench()
    bench.machine.due_ms = [WALL_MS + 20]
    bench.propose(b"a")
    bench.settle(WAIT_US + SYNC_US + 2_000)
    # When a command comes before it
    bench.propose(b"b")
    bench.settle(WAIT_US - 1)
    # Then the due work is done first, on its own
    assert bench.applied() == [[b"a"], [b'{"cmd":"!tick"}']]
    bench.settle(SYNC_US + 1_000)
    assert bench.applied() == [[b"a"], [b'{"cmd":"!tick"}'], [b"b"]]


def test_a_stop_answers_a_waiting_group_at_once() -> None:
    bench = a_bench()
    bench.propose(b"a")
    stopped: list[bool] = []
    bench.node.stop(lambda: stopped.append(True))
    bench.settle(SYNC_US)
    assert list(bench.replies) == [b"a"]
    bench.settle()
    assert stopped == [True]
