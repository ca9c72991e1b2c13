"""A cluster's entries wait for company: only while many ask, and never for long."""

from rustqueue.model import limits
from rustqueue.raft.group import Company
from tests.unit.gateway_world import ManualClock

ALONE = 1


class Leader:
    """What waits and what is on its way, with entries that are begun whenever there is company."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.company = Company(self.clock, self.begin)
        self.waiting = self.on_their_way = 0
        self.entries: list[int] = []

    def come(self, count: int = 1) -> None:
        self.waiting += count
        self.begin()

    def begin(self) -> None:
        if self.waiting and self.company.is_there(self.waiting, self.on_their_way):
            self.entries.append(self.waiting)
            self.on_their_way, self.waiting = self.on_their_way + self.waiting, 0

    def answered(self) -> None:
        self.on_their_way = 0
        self.begin()


def test_who_asks_alone_never_waits() -> None:
    leader = Leader()
    for _ in range(5):
        leader.come(ALONE)
        leader.answered()
    assert leader.entries == [1, 1, 1, 1, 1]


def test_three_that_ask_at_once_do_not_wait_for_each_other() -> None:
    leader = Leader()
    leader.come(3)
    leader.answered()
    leader.come(ALONE)
    leader.come(ALONE)
    assert leader.entries == [3, 1, 1]


def test_clients_that_come_back_one_after_the_other_share_an_entry() -> None:
    # Given eight that asked at once
    leader = Leader()
    leader.come(8)
    leader.answered()
    # When they ask again, one by one
    for _ in range(8):
        leader.come(ALONE)
    # Then the first of them wait for most of the others
    assert leader.entries == [8, 6]
    leader.answered()
    leader.clock.pass_ms(limits.COMPANY_WAIT_MS)
    assert leader.entries == [8, 6, 2]


def test_nobody_waits_longer_than_a_moment_and_those_who_left_are_forgotten() -> None:
    # Given a hundred that asked at once and went away
    leader = Leader()
    leader.come(100)
    leader.answered()
    # When one goes on asking
    waits = 0
    for _ in range(40):
        leader.come(ALONE)
        if leader.waiting:
            waits += 1
            leader.clock.pass_ms(limits.COMPANY_WAIT_MS)
        leader.answered()
    # Then it waits a moment each time, and soon no more
    assert leader.entries == [100] + 40 * [1]
    assert 10 < waits < 40


def test_a_moment_that_is_over_counts_for_one_entry_only() -> None:
    leader = Leader()
    leader.come(8)
    leader.answered()
    leader.come(ALONE)
    leader.clock.pass_ms(limits.COMPANY_WAIT_MS)
    assert leader.entries == [8, 1]
    leader.come(ALONE)
    assert (leader.entries, leader.waiting) == ([8, 1], 1)
