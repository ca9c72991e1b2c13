"""Replies of forwarded commands, and what is told where there are none."""

from rustqueue.model.replies import Done, Pushed, Refused, Reply
from rustqueue.raft.cluster.placements import Placements


def test_whoever_waits_gets_the_reply_of_its_place() -> None:
    placements, told = Placements(lambda: 3), list[Reply | None]()
    assert not placements.expect(3, 0, 1, told.append)
    assert placements.expect(4, 1, 1, told.append)
    assert placements.expect(4, 0, 2, told.append)
    assert (placements.awaits(4), placements.awaits(5)) == (True, False)
    placements.applied(4, 1, [Done(), Pushed(id="x")])
    assert told == [Pushed(id="x"), None]
    assert not placements.awaits(4)


def test_who_came_when_the_replies_were_left_out_already_is_told_that_nobody_knows() -> None:
    # Given an entry whose apply began when nobody waited for it, and had to wait for room on the disk
    placements, told = Placements(lambda: 3), list[Reply | None]()
    assert placements.expect(4, 0, 1, told.append)
    # When it is applied without replies
    placements.applied(4, 1, [])
    # Then the one who came meanwhile is told so
    [reply] = told
    assert isinstance(reply, Refused)
    assert reply.error.code == "OUTCOME_UNKNOWN"
