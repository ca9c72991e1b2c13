"""When a call is repeated, and what its answer means."""

from typing import Any

import pytest

from rustqueue.client import (
    Conflict,
    InvalidRequest,
    NetworkError,
    NotFound,
    RustQueueError,
    ServerFault,
    Unauthorized,
    Unavailable,
)
from rustqueue.client.address import Address
from rustqueue.client.call import Answer, Call, read_answer
from rustqueue.client.calls import jobs as job_calls
from rustqueue.client.calls import queues as queue_calls
from rustqueue.client.errors import refusal
from rustqueue.client.results import Acked, Bulk
from rustqueue.client.retries import Attempts, pause_s

CUT_OFF = NetworkError("cut off", sent=True)
NOT_CONNECTED = NetworkError("not connected", sent=False)
OVERLOADED = refusal("OVERLOADED", "busy", 429)
UNKNOWN = refusal("OUTCOME_UNKNOWN", "who knows", 503)

PUSH = job_calls.push("q", "n")
PULL = job_calls.pull("q")
ACK = job_calls.ack("j1")


def attempts(call: Call[Any], key: str | None = None) -> Attempts[Any]:
    return Attempts(call, key, deadline_s=10.0)


def test_pauses_double_up_to_a_cap_and_half_is_chance() -> None:
    assert [pause_s(failures, 1.0) for failures in (1, 2, 3, 6, 7, 1_000)] == [0.05, 0.1, 0.2, 1.6, 2.0, 2.0]
    assert [pause_s(failures, 0.0) for failures in (1, 2, 7)] == [0.025, 0.05, 1.0]


@pytest.mark.parametrize(
    ("call", "key", "error", "repeated"),
    [
        (PUSH, "k", CUT_OFF, True),
        (PUSH, None, CUT_OFF, False),  # It may have been stored.
        (PUSH, None, NOT_CONNECTED, True),
        (PUSH, None, UNKNOWN, False),
        (PUSH, "k", UNKNOWN, True),
        (PUSH, None, OVERLOADED, True),
        (PUSH, "k", refusal("QUEUE_PAUSED", "paused", 503), False),
        (PUSH, "k", refusal("DISK_FULL", "full", 503), False),
        (PUSH, "k", refusal("VALIDATION_ERROR", "wrong", 400), False),
        (PULL, None, CUT_OFF, False),  # It may have leased jobs.
        (PULL, "k", CUT_OFF, True),
        (PULL, None, NOT_CONNECTED, True),
        (ACK, None, CUT_OFF, True),
        (ACK, None, refusal("INTERNAL_ERROR", "bug", 500), False),
        (queue_calls.clean("q", "dlq"), None, CUT_OFF, True),
        (queue_calls.clean("q", "dlq", limit=5), None, CUT_OFF, False),  # Twice would be ten.
    ],
)
def test_a_repeat_is_made_where_it_does_no_harm(
    call: Call[Any], key: str | None, error: RustQueueError, repeated: bool
) -> None:
    if repeated:
        assert attempts(call, key).pause_after(error, now_s=0.0, draw=1.0) == 0.05
    else:
        with pytest.raises(type(error)):
            attempts(call, key).pause_after(error, now_s=0.0, draw=1.0)


def test_nothing_is_repeated_past_the_deadline() -> None:
    tries = attempts(ACK)
    assert tries.pause_after(CUT_OFF, now_s=9.0, draw=1.0) == 0.05
    with pytest.raises(NetworkError, match="cut off"):
        tries.pause_after(CUT_OFF, now_s=9.95, draw=1.0)


def test_the_server_may_ask_for_a_longer_pause() -> None:
    error = refusal("OVERLOADED", "busy", 429)
    error.retry_after_s = 3.0
    assert attempts(ACK).pause_after(error, now_s=0.0, draw=1.0) == 3.0


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (None, "JOB_NOT_FOUND", NotFound),
        (None, "NOT_FOUND", NotFound),
        (None, "SOME_NEW_NOT_FOUND", NotFound),
        (None, "STALE_ATTEMPT", Conflict),
        (None, "VALIDATION_ERROR", InvalidRequest),
        (422, "VALIDATION_ERROR", InvalidRequest),
        (None, "UNAUTHORIZED", Unauthorized),
        (None, "QUEUE_PAUSED", Unavailable),
        (None, "OVERLOADED", Unavailable),
        (None, "INTERNAL_ERROR", ServerFault),
        (418, "NEW_CODE", ServerFault),
    ],
)
def test_a_refusal_has_its_kind(status: int | None, code: str, kind: type[RustQueueError]) -> None:
    body = b'{"ok":false,"error":{"code":"%b","message":"why","details":{"field":"f"}},"request_id":3}' % code.encode()
    with pytest.raises(RustQueueError) as raised:
        read_answer(PUSH, Answer(body, status), False)
    error = raised.value
    assert (type(error), error.code, error.message, error.details) == (kind, code, "why", {"field": "f"})
    assert str(error) == f"{code}: why"


def test_success_is_read_in_any_spelling() -> None:
    assert read_answer(PUSH, Answer(b'{"ok":true,"id":"j1"}', 201), False) == "j1"
    assert read_answer(PUSH, Answer(b'{ "request_id":1, "id":"j1", "ok":true }'), False) == "j1"


def test_a_batch_with_refused_items_is_an_answer() -> None:
    body = (
        b'{"ok":false,"acked":0,"failed":1,"results":[{"id":"j1","ok":false,"error":{"code":"STALE_ATTEMPT",'
        b'"message":"late"}}]}'
    )
    reply = read_answer(job_calls.ack_batch(["j1"]), Answer(body), False)
    assert (reply.acked, reply.failed, [(item.id, item.ok) for item in reply.results]) == (0, 1, [("j1", False)])


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (Answer(b"<html>", 502), NetworkError, "A proxy answered with status 502"),
        (Answer(b"<html>", 200), ServerFault, "not from RustQueue"),
        (Answer(b'{"detail":"no"}', 404), ServerFault, "not from RustQueue"),
        (Answer(b'{"ok":true}', 200), ServerFault, "not what was expected"),
        (Answer(b'{"ok":true,"id":5}', 200), ServerFault, "not what was expected"),
    ],
)
def test_a_foreign_answer_is_said_to_be_one(answer: Answer, kind: type[RustQueueError], text: str) -> None:
    with pytest.raises(kind, match=text):
        read_answer(PUSH, answer, False)


def refused(code: str, state: str | None = None) -> Answer:
    details = "null" if state is None else f'{{"state":"{state}"}}'
    return Answer(f'{{"ok":false,"error":{{"code":"{code}","message":"m","details":{details}}}}}'.encode())


@pytest.mark.parametrize(
    ("call", "answer", "result"),
    [
        (ACK, refused("INVALID_STATE", "completed"), Acked()),
        (ACK, refused("JOB_NOT_FOUND"), Acked()),
        (job_calls.cancel("j1"), refused("INVALID_STATE", "cancelled"), "cancelled"),
        (job_calls.remove("j1"), refused("JOB_NOT_FOUND"), None),
        (queue_calls.delete_queue("q"), refused("QUEUE_NOT_FOUND"), Bulk()),
    ],
)
def test_the_echo_of_our_own_success_is_a_success(call: Call[Any], answer: Answer, result: object) -> None:
    tries = attempts(call)
    with pytest.raises(RustQueueError):
        tries.read(answer)
    tries.pause_after(CUT_OFF, now_s=0.0, draw=1.0)
    assert tries.read(answer) == result


@pytest.mark.parametrize("code", ["JOB_NOT_FOUND", "NOT_FOUND"])
def test_a_missing_job_is_none(code: str) -> None:
    assert read_answer(job_calls.get("j1"), refused(code), False) is None
    with pytest.raises(Conflict):
        read_answer(job_calls.get("j1"), refused("INVALID_STATE"), False)


def test_addresses() -> None:
    assert Address.parse("http://node") == ("http", "node", 6790, "", False)
    assert Address.parse("tcp://node") == ("tcp", "node", 6789, "", False)
    assert Address.parse("https://node") == ("http", "node", 6790, "", True)
    assert Address.parse("tcps://node:1") == ("tcp", "node", 1, "", True)
    assert Address.parse("http://[::1]:80/behind/proxy/") == ("http", "::1", 80, "/behind/proxy", False)
    for wrong in (
        "node:6790",
        "ftp://node",
        "tcps://node/path",
        "tcp://node/path",
        "http://user:pw@node",
        "http://node?x=1",
        "http://",
    ):
        with pytest.raises(ValueError, match="://"):
            Address.parse(wrong)


def test_time_that_is_up_while_connecting_does_not_hide_the_reason() -> None:
    late = NetworkError("No connection in time", sent=False, code="TIMEOUT")
    tries = attempts(ACK)
    with pytest.raises(NetworkError, match="No connection in time"):
        tries.pause_after(late, now_s=10.0, draw=1.0)
    tries.pause_after(OVERLOADED, now_s=9.0, draw=1.0)
    with pytest.raises(type(OVERLOADED), match=OVERLOADED.code):
        tries.pause_after(late, now_s=10.0, draw=1.0)


def test_what_an_earlier_sending_may_have_done_is_told() -> None:
    tries = attempts(PUSH, "k")
    tries.pause_after(CUT_OFF, now_s=9.0, draw=1.0)
    with pytest.raises(NetworkError, match="refused") as raised:
        tries.pause_after(NetworkError("refused", sent=False), now_s=9.99, draw=1.0)
    assert raised.value.sent
