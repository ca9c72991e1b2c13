"""Which worker goes first when a Deployment shrinks."""

from rustqueue_operator.workers.costs import Costs, Pod


def pod(name: str, cost: str | None = None) -> Pod:
    return Pod("team", name, cost)


def test_a_busy_worker_costs_more_than_an_idle_one() -> None:
    assert Costs().changes([pod("busy"), pod("idle")], {"busy": 3}) == [(pod("busy"), "2")]


def test_how_busy_is_told_in_powers_of_two_and_has_a_bound() -> None:
    leases = {"one": 1, "seven": 7, "eight": 8, "many": 10**6}

    assert [cost for _, cost in Costs().changes(map(pod, leases), leases)] == ["1", "4", "8", "1000"]


def test_what_stands_there_already_is_not_written() -> None:
    assert Costs().changes([pod("same", "4"), pod("idle", "0")], {"same": 5}) == []


def test_a_worker_between_two_jobs_is_not_idle_yet() -> None:
    costs = Costs()
    assert costs.changes([pod("w", "1")], {}) == []
    assert costs.changes([pod("w", "1")], {"w": 1}) == []
    assert costs.changes([pod("w", "1")], {}) == []

    assert costs.changes([pod("w", "1")], {}) == [(pod("w", "1"), "0")]
