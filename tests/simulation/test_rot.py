"""The simulated disk knows which of its bits have rotted, so that the simulator does not "mend" what is sound."""

import errno
from random import Random

import pytest

from tests.simulation.disk import SECTOR_BYTES, SimDisk
from tests.simulation.world import World

PATH = "j/file"
SOUND = bytes(2 * SECTOR_BYTES)


def rotten_disk() -> SimDisk:
    """Two sectors of zeros, of which bit 3 of byte 4 has changed."""
    disk = SimDisk()
    file = disk.create(PATH)
    file.write_at(0, SOUND)
    file.sync()
    disk.sync_dir("j")
    disk.flip_bit(PATH, 4, 3)
    return disk


def content(disk: SimDisk) -> bytes:
    return disk.read(PATH, 0, len(SOUND))


def test_a_bit_that_has_changed_is_turned_back() -> None:
    disk = rotten_disk()
    assert disk.is_rotten(PATH, 4, 3)
    assert content(disk)[4] == 8

    disk.heal(PATH, 4, 3)

    assert not disk.is_rotten(PATH, 4, 3)
    assert (content(disk), disk.durable_bytes(PATH)) == (SOUND, SOUND)


def test_a_byte_that_was_written_since_is_not_turned_back_although_it_looks_like_the_rotten_one() -> None:
    disk = rotten_disk()
    file = disk.open(PATH)
    file.write_at(4, b"\x08")
    file.sync()

    disk.heal(PATH, 4, 3)

    assert not disk.is_rotten(PATH, 4, 3)
    assert content(disk)[4] == disk.durable_bytes(PATH)[4] == 8


def test_rot_that_was_written_over_is_back_when_the_write_is_lost() -> None:
    disk = rotten_disk()
    file = disk.open(PATH)
    file.write_at(4, b"\x01")
    disk.fault = lambda asked, path: OSError(errno.EIO, "simulated") if asked == "sync" else None
    with pytest.raises(OSError, match="simulated"):
        file.sync()
    assert content(disk)[4] == 1

    disk.power_cut(Random(1))

    assert disk.is_rotten(PATH, 4, 3)
    disk.heal(PATH, 4, 3)
    assert content(disk) == SOUND


def test_a_sector_that_survives_a_power_cut_is_as_rotten_as_it_was_where_nothing_was_written() -> None:
    survived_count = 0
    for seed in range(40):
        disk = rotten_disk()
        disk.open(PATH).write_at(100, b"new")

        disk.power_cut(Random(seed))
        disk.heal(PATH, 4, 3)

        survived_count += content(disk)[100:103] == b"new"
        assert content(disk)[:100] == SOUND[:100]
    assert survived_count > 0


def test_what_is_cut_away_is_not_rotten() -> None:
    disk = rotten_disk()
    file = disk.open(PATH)
    file.truncate(2)
    file.sync()

    assert not disk.is_rotten(PATH, 4, 3)


def test_a_vote_that_was_stored_over_a_rotten_byte_stays_sound() -> None:
    """Seed 2596: the eighth store put just the byte there that a flip had made of the one before."""
    World(2596).run()
