"""The single-node replicator when the disk breaks, fills up, or the machine has a bug."""

import errno
from dataclasses import replace

import pytest

from rustqueue.model.replies import Pushed, Refused
from rustqueue.raft.local import ApplyFailed
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from tests.simulation.disk import SimDisk
from tests.simulation.single import BEAT, OPTIONS, SYNC_US, Bench

# Faults.


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_disk_error_stops_the_node_and_answers_nobody(operation: str) -> None:
    bench = Bench()
    bench.propose(b"a")
    bench.settle()
    bench.disk.fault = lambda asked, path: OSError(errno.EIO, "no") if asked == operation else None
    bench.propose(b"b")
    bench.settle(SYNC_US // 2)
    bench.propose(b"c")
    bench.settle()
    assert [type(error) for error in bench.fatal] == [OSError]
    assert bench.node.stopped is bench.fatal[0]
    assert list(bench.replies) == [b"a"]
    bench.propose(b"d")
    assert bench.refused_code(b"d") == "OUTCOME_UNKNOWN"


def test_an_exception_in_apply_stops_the_node_before_anything_is_answered() -> None:
    bench = Bench()

    def poison(index: int) -> None:
        if index == 2:
            raise KeyError("bug")

    bench.before_apply = poison
    bench.propose(b"a")
    bench.settle(SYNC_US // 2)
    bench.propose(b"b")
    bench.settle()
    assert list(bench.replies) == [b"a"]
    assert isinstance(bench.node.stopped, ApplyFailed)
    assert (bench.node.stopped.index, bench.node.applied_index) == (2, 1)
    # Then the entry is still in the log, and the next start stops there as well
    bench.crash(power=False)
    with pytest.raises(ApplyFailed, match="entry 2"):
        bench.start()


def test_a_store_without_room_holds_the_node_up_and_no_more() -> None:
    # Given a store that refuses batches for a while
    bench = Bench()
    full = [True]

    def refuse(_: int) -> None:
        if full[0]:
            raise StoreFullError("full")

    bench.before_apply = refuse
    bench.propose(b"a")
    bench.settle(3_000_000)
    bench.propose(b"b", BEAT)
    bench.settle(3_000_000)
    assert (bench.replies, bench.node.disk_full, bench.fatal) == ({}, True, [])
    # When there is room again
    full[0] = False
    bench.settle(3_000_000)
    # Then everything goes on where it was
    assert list(bench.replies) == [b"a", b"b"]
    assert not bench.node.disk_full


# A full disk.


def a_small_disk(reserve_bytes: int = 20_000) -> Bench:
    options = replace(OPTIONS, space=SpaceRules(reserve_bytes=reserve_bytes))
    bench = Bench(options, disk=SimDisk(total_bytes=100_000, ahead_bytes_max=0))
    bench.settle()
    return bench


def test_the_reserve_is_laid_when_there_is_room() -> None:
    bench = a_small_disk()
    assert bench.disk.size_bytes("j/reserve") == 20_000
    assert (bench.node.disk_full, bench.node.space.warned) == (False, False)


def test_thresholds_warn_refuse_and_serve_again() -> None:
    bench = a_small_disk()

    def use(percent: int) -> tuple[bool, bool]:
        reserve_bytes = 20_000
        bench.disk.foreign_bytes += percent * 1_000 - bench.disk.total_bytes + bench.disk.space("j").free_bytes
        present = "reserve" in bench.disk.list("j")
        bench.disk.foreign_bytes -= 0 if present else reserve_bytes
        bench.settle(2_000_000)
        bench.propose(b"%d-%d" % (percent, bench.timeline.now_us), BEAT)
        bench.settle(2_000_000)
        return bench.node.space.warned, bench.node.disk_full

    assert use(75) == (False, False)
    assert use(82) == (True, False)
    assert use(92) == (True, True)
    assert "reserve" not in bench.disk.list("j")
    assert use(87) == (True, True)
    assert use(80) == (True, False)
    assert "reserve" in bench.disk.list("j")
    assert use(60) == (False, False)
    assert len(bench.replies) == 6


def test_on_a_disk_without_room_pushes_are_refused_and_the_rest_lives_on_the_reserve() -> None:
    # Given a disk that somebody else has filled to the last byte
    bench = a_small_disk()
    bench.disk.foreign_bytes += bench.disk.space("j").free_bytes
    # When pushes and others come in one turn
    bench.propose(b"push")
    bench.propose(b"beat", BEAT)
    bench.settle(SYNC_US // 2)
    bench.propose(b"push 2")
    bench.propose(b"beat 2", BEAT)
    bench.settle()
    # Then the pushes are refused, wholly, and the others done
    assert bench.refused_code(b"push") == bench.refused_code(b"push 2") == "DISK_FULL"
    assert bench.machine.commands() == [b"beat", b"beat 2"]
    assert (bench.node.disk_full, bench.node.pending_bytes) == (True, 0)
    # And when the room is back, pushes are taken without a restart
    bench.disk.foreign_bytes = 0
    bench.settle(2_000_000)
    assert (bench.node.disk_full, bench.node.space.warned) == (False, False)
    bench.propose(b"push 3")
    bench.settle()
    bench.crash(power=True)
    bench.start()
    assert bench.machine.commands() == [b"beat", b"beat 2", b"push 3"]


def test_pushes_do_not_use_up_the_reserve_however_they_came_in() -> None:
    # Given a disk that fills up, noticed while pushes wait for their turn
    bench = a_small_disk()
    bench.propose(b"first")
    bench.settle(SYNC_US)
    for number in range(10):
        bench.propose(b"push %d" % number + b"x" * 5_000)
    bench.propose(b"beat", BEAT)
    bench.disk.foreign_bytes += bench.disk.space("j").free_bytes
    bench.node.space.check()
    # When their turn comes, and more come
    bench.settle(100_000)
    bench.propose(b"late")
    bench.settle(100_000)
    # Then none of them was done, and the reserve is there for the rest
    assert bench.machine.commands() == [b"first", b"beat"]
    assert bench.refused_code(b"late") == bench.refused_code(b"push 9" + b"x" * 5_000) == "DISK_FULL"
    assert bench.node.pending_bytes == 0
    for number in range(3):
        bench.propose(b"beat %d" % number + b"y" * 4_000, BEAT)
        bench.settle(100_000)
    assert [type(reply) for reply in bench.replies.values()].count(Refused) == 11


def test_without_a_reserve_an_entry_that_does_not_fit_is_tried_without_its_pushes() -> None:
    bench = Bench(disk=SimDisk(total_bytes=100_000, ahead_bytes_max=0))
    bench.disk.foreign_bytes += bench.disk.space("j").free_bytes - 1_000
    bench.propose(b"push" + b"x" * 2_000)
    bench.propose(b"beat", BEAT)
    bench.settle(100_000)
    assert bench.machine.commands() == [b"beat"]
    assert bench.refused_code(b"push" + b"x" * 2_000) == "DISK_FULL"


def test_when_even_the_reserve_is_used_up_everything_is_refused_and_nothing_lost() -> None:
    bench = a_small_disk(reserve_bytes=2_000)
    bench.propose(b"first")
    bench.settle()
    bench.disk.foreign_bytes += bench.disk.space("j").free_bytes
    for number in range(6):
        bench.propose(b"%d" % number * 700, BEAT)
        bench.settle()
    done = [raw for raw, reply in bench.replies.items() if isinstance(reply, Pushed)]
    refused = [raw for raw, reply in bench.replies.items() if isinstance(reply, Refused)]
    assert (done[0], 2 <= len(done) <= 3, len(done) + len(refused)) == (b"first", True, 7)
    bench.disk.foreign_bytes = 0
    bench.crash(power=True)
    bench.start()
    assert bench.machine.commands() == done


def test_what_waits_for_the_reserve_keeps_its_order_and_is_answered_before_a_stop() -> None:
    # Given a full disk, and requests that come while the reserve is being given back
    bench = a_small_disk()
    bench.disk.foreign_bytes += bench.disk.space("j").free_bytes
    for number in range(4):
        bench.propose(b"beat %d" % number, BEAT)
        bench.settle(SYNC_US)
    stopped: list[bool] = []
    # When the node is stopped at once
    bench.node.stop(lambda: stopped.append(True))
    bench.settle()
    # Then all of them were done, in the order in which they came
    assert stopped == [True]
    assert list(bench.replies) == [b"beat 0", b"beat 1", b"beat 2", b"beat 3"]
    assert all(isinstance(reply, Pushed) for reply in bench.replies.values())
    assert [raw for commands in bench.applied() for raw in commands] == list(bench.replies)
