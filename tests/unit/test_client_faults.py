"""Lost answers, broken connections and silence, for all four combinations of client and protocol."""

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from rustqueue.client import AsyncClient, Client, NetworkError, RustQueueError, Unauthorized, Unavailable
from tests.unit.scripted_peer import Peer, Step, http, line, scripted_peer

LOST = Step(close=True)
PUSHED = b'{"ok":true,"id":"j1"}'
NO_JOB = b'{"ok":true,"job":null}'
DONE = b'{"ok":true}'

Verb = Callable[[Any], Any]
T = TypeVar("T")


def answered(scheme: str, body: bytes, status: int = 200) -> Step:
    return line(body) if scheme == "tcp" else http(status, body)


def refused(scheme: str, code: str, status: int, headers: bytes = b"") -> Step:
    body = b'{"ok":false,"error":{"code":"%b","message":"m","details":null}}' % code.encode()
    return line(body) if scheme == "tcp" else http(status, body, headers)


class Sync:
    @staticmethod
    def call(url: str, *verbs: Verb, **options: Any) -> list[Any]:
        with Client(url, **options) as client:
            return [verb(client) for verb in verbs]


class Async:
    @staticmethod
    def call(url: str, *verbs: Verb, **options: Any) -> list[Any]:
        async def all_of_them() -> list[Any]:
            async with AsyncClient(url, **options) as client:
                return [await verb(client) for verb in verbs]

        return asyncio.run(all_of_them())


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def shell(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["http", "tcp"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def url_of(scheme: str, peer: Peer) -> str:
    return f"{scheme}://127.0.0.1:{peer.port}"


def patiently(once: Callable[[float], T], is_late: Callable[[T], bool]) -> T:
    """What came of it in a short time; in a longer one where a stall of the machine has eaten the short one."""
    told = once(1.5)
    return once(30.0) if is_late(told) else told


def test_a_push_whose_answer_is_lost_is_sent_again_under_the_same_key(shell: Any, scheme: str) -> None:
    with scripted_peer(LOST, LOST, answered(scheme, PUSHED, 201)) as peer:
        assert shell.call(url_of(scheme, peer), lambda client: client.push("q", "n", {"a": 1})) == ["j1"]
    # Every sending is the same in every byte, or the node would take it for a misuse of the key.
    assert len(peer.requests) == 3
    assert len(set(peer.requests)) == 1
    assert re.search(rb'(Idempotency-Key: |"idempotency_key":")[0-9a-f]{32}', peer.requests[0])


def test_a_push_without_a_key_is_not_sent_again(shell: Any, scheme: str) -> None:
    with scripted_peer(LOST) as peer, pytest.raises(NetworkError, match="closed the connection") as raised:
        shell.call(url_of(scheme, peer), lambda client: client.push("q", "n"), idempotency="off")
    assert (raised.value.sent, len(peer.requests)) == (True, 1)


def test_a_pull_is_sent_again_only_with_a_key(shell: Any, scheme: str) -> None:
    with scripted_peer(LOST) as peer, pytest.raises(NetworkError, match="closed the connection"):
        shell.call(url_of(scheme, peer), lambda client: client.pull("q"))
    with scripted_peer(LOST, answered(scheme, NO_JOB)) as peer:
        assert shell.call(url_of(scheme, peer), lambda client: client.pull("q", idempotency_key="mine")) == [[]]
    assert [b"mine" in request for request in peer.requests] == [True, True]


def test_a_connection_is_used_again_and_a_closed_one_replaced(shell: Any, scheme: str) -> None:
    closing = answered(scheme, DONE)
    steps = (answered(scheme, DONE), Step(closing.answer, close=True), answered(scheme, DONE))
    with scripted_peer(*steps) as peer:

        def pause_after_close(client: Any) -> Any:
            assert peer.hung_up.wait(10.0)
            return client.resume("q")

        promote = [lambda client: client.promote("j1")] * 2
        assert shell.call(url_of(scheme, peer), *promote, pause_after_close) == [None, None, None]
    assert (peer.connections, len(peer.requests)) == (2, 3)


def test_an_overloaded_node_is_asked_again(shell: Any, scheme: str) -> None:
    busy = refused(scheme, "OVERLOADED", 429)
    with scripted_peer(busy, busy, answered(scheme, PUSHED)) as peer:
        assert shell.call(url_of(scheme, peer), lambda client: client.push("q", "n"), idempotency="off") == ["j1"]
    assert len(peer.requests) == 3


def test_a_paused_queue_is_said_at_once(shell: Any, scheme: str) -> None:
    with (
        scripted_peer(refused(scheme, "QUEUE_PAUSED", 503, b"Retry-After: 1\r\n")) as peer,
        pytest.raises(Unavailable, match="QUEUE_PAUSED") as raised,
    ):
        shell.call(url_of(scheme, peer), lambda client: client.push("q", "n"))
    assert raised.value.retry_after_s == (1.0 if scheme == "http" else None)


def test_a_silent_node_ends_the_call_in_time(shell: Any, scheme: str) -> None:
    def silence(timeout_s: float) -> NetworkError:
        with scripted_peer(Step(silent=True)) as peer, pytest.raises(NetworkError) as raised:
            shell.call(url_of(scheme, peer), lambda client: client.stats("q"), timeout_s=timeout_s)
        return raised.value

    error = patiently(silence, lambda error: not error.sent)
    assert (error.code, error.sent) == ("TIMEOUT", True)


def test_a_waiting_pull_may_take_its_time_on_top(shell: Any, scheme: str) -> None:
    with scripted_peer(Step(silent=True)) as peer, pytest.raises(NetworkError) as raised:
        shell.call(url_of(scheme, peer), lambda client: client.pull("q", wait_ms=100), timeout_s=1.5)
    assert raised.value.code == "TIMEOUT"


def test_where_nobody_listens_the_call_ends_in_time(shell: Any, scheme: str) -> None:
    with scripted_peer() as peer:
        pass
    # On a busy machine the time may be over before the system has said that nobody is there.
    with pytest.raises(NetworkError, match=r"Cannot connect to 127|No connection in time") as raised:
        shell.call(url_of(scheme, peer), lambda client: client.health(), timeout_s=0.2)
    assert raised.value.sent is False


def test_a_token_is_presented_on_every_connection(shell: Any) -> None:
    with scripted_peer(line(DONE), LOST, line(DONE), line(PUSHED)) as peer:
        assert shell.call(url_of("tcp", peer), lambda client: client.push("q", "n"), token="t") == ["j1"]
    auth = b'{"cmd":"auth","token":"t"}\n'
    assert (peer.connections, peer.requests[0], peer.requests[2]) == (2, auth, auth)
    assert peer.requests[1] == peer.requests[3]


def test_a_wrong_token_is_said_and_not_tried_again(shell: Any) -> None:
    with scripted_peer(refused("tcp", "UNAUTHORIZED", 401)) as peer, pytest.raises(Unauthorized):
        shell.call(url_of("tcp", peer), lambda client: client.push("q", "n"), token="t")
    assert len(peer.requests) == 1


def test_a_connection_lost_while_greeting_is_made_again(shell: Any) -> None:
    # The request itself was not sent yet, so even one without a key is tried again.
    with scripted_peer(LOST, line(DONE), line(PUSHED)) as peer:
        pushed = shell.call(url_of("tcp", peer), lambda client: client.push("q", "n"), token="t", idempotency="off")
    assert pushed == ["j1"]


def test_what_is_no_http_ends_the_call(shell: Any) -> None:
    def nonsense(timeout_s: float) -> NetworkError:
        steps = [Step(b"SSH-2.0\r\n\r\n", close=True)] * 60
        with scripted_peer(*steps) as peer, pytest.raises(NetworkError) as raised:
            shell.call(url_of("http", peer), lambda client: client.stats("q"), timeout_s=timeout_s)
        return raised.value

    error = patiently(nonsense, lambda error: error.code == "TIMEOUT")
    assert error.message == "The answer is not HTTP: b'SSH-2.0'"


def test_a_refused_connection_of_many_calls_is_told_to_each() -> None:
    async def two_calls(url: str, timeout_s: float) -> tuple[object, object]:
        async with AsyncClient(url, timeout_s=timeout_s) as client:
            return await asyncio.gather(client.stats("a"), client.stats("b"), return_exceptions=True)

    # Time may be up while a connection is made: the reason is still said.
    full = Step(b'{"ok":false,"error":{"code":"OVERLOADED","message":"full"} } \n', close=True)

    def refusals(timeout_s: float) -> tuple[object, object]:
        with scripted_peer(*[full] * 60) as peer:
            return asyncio.run(two_calls(url_of("tcp", peer), timeout_s))

    results = patiently(refusals, lambda told: "full" not in str(told[0]))
    assert [type(result) for result in results] == [NetworkError, NetworkError]
    assert "full" in str(results[0])


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:1")
    client.close()
    with pytest.raises(RustQueueError, match="CLOSED"):
        client.health()


def test_closing_wakes_a_call_that_waits_for_its_next_try() -> None:
    with scripted_peer() as peer:
        pass
    client = Client(url_of("tcp", peer), timeout_s=60.0)
    errors: list[RustQueueError] = []

    def call() -> None:
        try:
            client.health()
        except RustQueueError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    client.close()
    thread.join(10.0)
    assert [error.code for error in errors] == ["CLOSED"]


def test_closing_ends_the_calls_in_flight() -> None:
    async def closed_in_between(url: str) -> object:
        client = AsyncClient(url, timeout_s=60.0)
        call = asyncio.ensure_future(client.stats("q"))
        assert await asyncio.to_thread(peer.heard.wait, 10.0)
        await client.close()
        return (await asyncio.gather(call, return_exceptions=True))[0]

    with scripted_peer(Step(silent=True)) as peer:
        result = asyncio.run(closed_in_between(url_of("tcp", peer)))
    assert isinstance(result, RustQueueError)
    assert result.code == "CLOSED"
