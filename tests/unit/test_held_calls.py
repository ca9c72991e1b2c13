"""What of a history is in a backup: the end-to-end tests judge a restored release by it."""

from typing import Any

from e2e.load.held import Cut, held
from rustqueue.history.lines import Call

CUT = Cut(begin_us=1_000, end_us=2_000, taken_at_ms=500)
T500 = "1970-01-01T00:00:00.500Z"


def call(start_us: int, end_us: int, request: dict[str, Any], reply: dict[str, Any] | None) -> Call:
    return Call("c", f"op-{start_us}", request, reply, start_us, end_us)


def push(start_us: int, end_us: int, at_ms: int | None) -> Call:
    """Acknowledged by an entry of that time; None: without an answer."""
    if at_ms is None:
        return call(start_us, end_us, {"cmd": "push"}, None)
    time = f"{at_ms:012x}"
    job_id = f"{time[:8]}-{time[8:]}-7000-8000-000000000000"
    return call(start_us, end_us, {"cmd": "push"}, {"ok": True, "id": job_id})


def pull(start_us: int, end_us: int, started_at: str, token: str) -> Call:
    jobs = [{"id": "j", "started_at": started_at, "attempt_token": token}]
    return call(start_us, end_us, {"cmd": "pull"}, {"ok": True, "jobs": jobs})


def ack(start_us: int, end_us: int, token: str) -> Call:
    items = [{"id": "j", "attempt_token": token}]
    return call(start_us, end_us, {"cmd": "ack_batch", "items": items}, {"ok": True, "results": [{"ok": True}]})


def unknown(known: Call) -> Call:
    return Call(known.client, known.op, known.request, None, known.start_us, known.end_us)


def test_what_ended_before_the_backup_began_is_in_it_and_what_began_after_it_is_not() -> None:
    before = [push(10, 20, 400), pull(30, 40, T500, "a"), ack(50, 60, "a"), push(70, 80, None)]
    after = [push(2_001, 2_010, 600), push(2_011, 2_020, None), ack(2_021, 2_030, "a")]
    assert held([*after, *before], CUT) == before


def test_a_push_between_tells_by_its_ids_whether_it_is_in_it() -> None:
    earlier, later, same, lost = (
        push(900, 1_100, 499),
        push(1_100, 1_200, 501),
        push(1_200, 1_300, 500),
        push(1, 1_500, None),
    )
    refused = call(1_400, 1_500, {"cmd": "push"}, {"ok": False, "error": {"code": "OVERLOADED"}})
    assert held([earlier, later, same, lost, refused], CUT) == [lost, earlier, unknown(same)]


def test_a_lease_between_tells_by_its_begin_and_what_ended_it_may_have_happened() -> None:
    earlier, later = pull(1_100, 1_110, "1970-01-01T00:00:00.499Z", "in"), pull(1_200, 1_210, T500, "out")
    empty = call(1_300, 1_310, {"cmd": "pull"}, {"ok": True, "jobs": []})
    acks = [ack(1_400, 1_410, "in"), ack(1_500, 1_510, "out")]
    assert held([earlier, later, empty, *acks], CUT) == [earlier, unknown(later), unknown(acks[0])]
