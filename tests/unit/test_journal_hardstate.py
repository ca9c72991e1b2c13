"""Term and vote: never forgotten, never made up."""

import errno
from random import Random

import pytest

from rustqueue.raft.hardstate import SLOT_BYTES, HardState, TermVote
from rustqueue.raft.journal import JournalDamaged, JournalError
from tests.simulation.disk import SimDisk


def opened(disk: SimDisk) -> HardState:
    state = HardState(disk, "j")
    state.open()
    return state


def test_a_new_one_is_term_0_without_a_vote() -> None:
    assert opened(SimDisk()).current == TermVote(0, None)


def test_what_was_stored_is_there_after_a_power_cut() -> None:
    disk = SimDisk()
    state = opened(disk)
    for term in range(1, 6):
        state.store(TermVote(term, f"n{term}" if term % 2 else None))
        disk.power_cut(Random(term))
        state = opened(disk)
        assert state.current == TermVote(term, f"n{term}" if term % 2 else None)


@pytest.mark.parametrize("seed", range(60))
def test_a_store_cut_short_leaves_the_old_or_the_new_state(seed: int) -> None:
    # Given a state, and a store that does not get through
    disk, rng = SimDisk(), Random(seed)
    state = opened(disk)
    for term in range(1, 2 + seed % 3):
        state.store(TermVote(term, "n0"))
    old = state.current
    fails = iter([False] * (seed % 2) + [True])
    disk.fault = lambda asked, path: OSError(errno.EIO, "no") if asked == "sync" and next(fails, False) else None
    with pytest.raises(OSError, match="no"):
        state.store(TermVote(9, "n1"))
    disk.fault = None
    # When the power goes
    disk.power_cut(rng)
    # Then one of both is there, never a third
    assert opened(disk).current in (old, TermVote(9, "n1"))


def test_a_state_left_in_the_page_cache_is_stored_again_before_it_is_believed() -> None:
    # Given a vote whose sync failed, which a restarted process can read all the same
    disk = SimDisk()
    state = opened(disk)
    state.store(TermVote(1, "n0"))
    answers = iter([None, OSError(errno.EIO, "no")])
    disk.fault = lambda asked, path: next(answers, None) if asked == "sync" else None
    with pytest.raises(OSError, match="no"):
        state.store(TermVote(2, "n1"))
    believed = opened(disk).current
    # When the power goes, then what was believed is still so
    disk.power_cut(Random(3))
    assert opened(disk).current == believed


@pytest.mark.parametrize("offset", [0, 3, 4, 11, 12, 20, 21, 60, 84, 300, 510, 511])
def test_a_flipped_bit_in_the_newer_copy_is_refused(offset: int) -> None:
    disk = SimDisk()
    opened(disk).store(TermVote(3, "n0"))
    disk.flip_bit("j/hardstate", SLOT_BYTES + offset, 2)
    with pytest.raises(JournalDamaged, match="term and vote"):
        opened(disk)


@pytest.mark.parametrize("is_empty", [True, False])
def test_whoever_has_a_log_does_not_begin_without_its_term_and_vote(is_empty: bool) -> None:
    # Given a disk from which the file was lost, or on which nothing was ever stored in it.
    disk = SimDisk()
    if is_empty:
        HardState(disk, "j").open()

    # When a node opens it whose log holds entries, then it is told which file is missing, and none is made.
    with pytest.raises(JournalError, match="j/hardstate: missing or empty"):
        HardState(disk, "j").open(last_index=7)
    assert disk.list("j") == (["hardstate"] if is_empty else [])

    # And a node without entries begins with term 0.
    HardState(disk, "j").open(last_index=0)
