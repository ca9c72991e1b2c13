"""A leader that has not applied yet what others were told: it does not say of itself that nothing is there."""

from dataclasses import dataclass
from typing import Any, cast

from rustqueue.gateway.neighbours import Neighbours
from rustqueue.gateway.relay import ErrandRules
from tests.unit.gateway_world import World


@dataclass
class Log:
    """Where a leader stands. A follower applies what is committed and synced at its own pace, so it may be ahead."""

    term_begins_at: int = 1
    commit_index: int = 7
    applied_index: int = 7
    leads: bool = True
    placements: Any = None


def test_a_pull_is_brought_into_the_log_when_a_follower_may_know_of_more() -> None:
    # Given a leader that has applied all that is committed, so that nothing is there
    world, log = World(), Log()
    world.gateway.join(Neighbours(cast("Any", None), log, world.clock, lambda done: None, ErrandRules(1_000, 1)))
    assert world.ask("pull", queue="q").jobs_count == 0
    assert world.log.entries == []
    # When two others have synced and committed a push, and this node's own disk is slower
    log.commit_index = 8
    behind = world.ask("pull", queue="q")
    # Then the pull stands behind it in the log
    assert not behind.is_answered
    world.run()
    assert world.log.entries == [["Pull"]]
    # And a worker that drains here may have been told otherwise by then
    world.push("q")
    world.ask("pull", queue="q", worker_id="w")
    world.ask("worker_drain", worker_id="w")
    world.run()
    log.commit_index, entries = 9, len(world.log.entries)
    assert not world.ask("pull", queue="q", worker_id="w").is_answered
    world.run()
    assert len(world.log.entries) == entries + 1
    # And when it leads for the first time, all of that holds for what the leader before it acknowledged
    assert [
        Neighbours(cast("Any", None), one, world.clock, lambda done: None, ErrandRules(1, 1)).is_behind
        for one in (Log(term_begins_at=8), Log(commit_index=8), Log())
    ] == [True, True, False]
