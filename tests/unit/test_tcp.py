"""The TCP shell of a real node: order, pipelining, waiting, limits, authentication, stopping."""

import asyncio
import socket

import pytest

from rustqueue.model import limits
from rustqueue.settings import AuthSettings, LimitsSettings
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import a_node, connected, until

JOB = {"name": "n", "data": {"a": 1}}


async def test_a_job_lives_its_life() -> None:
    async with a_node() as node, connected(node) as client:
        pushed = await client.ask("push", queue="mail", **JOB)
        pulled = await client.ask("pull", queue="mail")
        assert pulled["job"]["id"] == pushed["id"]
        token = pulled["job"]["attempt_token"]
        assert await client.ask("ack", id=pushed["id"], attempt_token=token, result=[1]) == {"ok": True}
        job = (await client.ask("get", id=pushed["id"]))["job"]
        assert (job["state"], job["result"], job["data"]) == ("completed", [1], {"a": 1})


async def test_answers_come_in_the_order_of_their_lines() -> None:
    # Given many different lines in one packet, some of which are answered without the log
    async with a_node() as node, connected(node) as client:
        for _ in range(50):
            client.send("push", queue="mail", **JOB)
            client.send("nonsense")
            client.send("push_batch", queue="mail", jobs=[JOB, JOB])
        # Then each has its answer at its place
        for _ in range(50):
            assert "id" in await client.answer()
            assert (await client.answer())["error"]["code"] == "UNKNOWN_COMMAND"
            assert len((await client.answer())["ids"]) == 2


async def test_a_pipelined_query_sees_what_came_before_it_and_nothing_after() -> None:
    async with a_node() as node, connected(node) as client:
        for _ in range(3):
            client.send("push", queue="mail", **JOB)
            client.send("stats", queue="mail")
        counts = [await client.answer() for _ in range(6)][1::2]
        assert [answer["counts"]["waiting"] for answer in counts] == [1, 2, 3]


async def test_a_pipelined_pull_sees_the_push_before_it() -> None:
    async with a_node() as node, connected(node) as client:
        client.send("push", queue="mail", **JOB)
        client.send("pull", queue="mail")
        pushed, pulled = await client.answer(), await client.answer()
        assert pulled["job"]["id"] == pushed["id"]


async def test_a_line_with_a_request_id_overtakes_a_waiting_pull_and_one_without_does_not() -> None:
    async with a_node() as node, connected(node) as client, connected(node) as other:
        # Given a pull that waits
        client.send("pull", queue="mail", wait_ms=60_000)
        # When lines come behind it
        client.send("stats", queue="mail")
        client.send("push", queue="aside", request_id="r", **JOB)
        # Then only the one with a request_id is answered
        # (the query before it waits for its turn, so that the push does as well until the pull is answered)
        await other.ask("push", queue="mail", **JOB)
        first, second, third = [await client.answer() for _ in range(3)]
        assert first["job"]["queue"] == "mail"
        assert second["counts"]["active"] == 1
        assert third["request_id"] == "r"


async def test_a_waiting_pull_with_a_request_id_holds_nothing_up() -> None:
    async with a_node() as node, connected(node) as client:
        client.send("pull", queue="mail", wait_ms=60_000, request_id=1)
        assert (await client.ask("stats", queue="mail"))["counts"]["waiting"] == 0
        assert (await client.ask("pull", queue="other"))["job"] is None
        client.send("push", queue="mail", request_id=2, **JOB)
        answers = [await client.answer(), await client.answer()]
        by_id = {answer["request_id"]: answer for answer in answers}
        assert by_id[1]["job"]["id"] == by_id[2]["id"]


async def test_a_request_id_comes_back_with_a_refusal_too() -> None:
    async with a_node() as node, connected(node) as client:
        unknown = await client.ask("push", queue="mail", name="n", colour="red", request_id="r1")
        assert (unknown["error"]["code"], unknown["request_id"]) == ("VALIDATION_ERROR", "r1")
        missing = await client.ask("ack", id="01980000-0000-7000-8000-000000000000", request_id="r2")
        assert (missing["error"]["code"], missing["request_id"]) == ("JOB_NOT_FOUND", "r2")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello\n", "PARSE_ERROR"),
        (b"{\n", "PARSE_ERROR"),
        (b'{"cmd":"push","queue":"\xff","name":"n"}\n', "PARSE_ERROR"),
        (b'{"queue":"mail"}\n', "VALIDATION_ERROR"),
        (b"[]\n", "VALIDATION_ERROR"),
        (b'{"cmd":"nope"}\n', "UNKNOWN_COMMAND"),
        (b'{"cmd":"push","queue":"mail"}\n', "VALIDATION_ERROR"),
        (b'{"cmd":"push","queue":"mail","name":"n","priority":1e400}\n', "VALIDATION_ERROR"),
        (b'{"cmd":"push","queue":"mail","name":"n","delay_ms":9007199254740993000}\n', "VALIDATION_ERROR"),
        (b'{"cmd":"pull","queue":"mail","count":4294967295}\n', "VALIDATION_ERROR"),
        (b'{"cmd":"push","queue":"mail","name":"n","name":"m"}\n', "VALIDATION_ERROR"),
        (b'{"cmd":"push","queue":"mail","name":"n","data":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n", "VALIDATION_ERROR"),
        (b'{"cmd":"get","id":"01980000-0000-7000-8000-000000000000"}\n', "NOT_FOUND"),
        (b'{"cmd":"cancel","id":"01980000-0000-7000-8000-000000000000"}\n', "JOB_NOT_FOUND"),
    ],
)
async def test_a_bad_line_is_answered_and_the_connection_goes_on(line: bytes, code: str) -> None:
    async with a_node() as node, connected(node) as client:
        client.send_raw(line)
        assert (await client.answer())["error"]["code"] == code
        assert (await client.ask("health"))["ok"] is True


async def test_blank_lines_and_carriage_returns_are_taken() -> None:
    async with a_node() as node, connected(node) as client:
        client.send_raw(b'\n\r\n{"cmd":"health"}\r\n\n')
        assert (await client.answer())["status"] == "healthy"
        assert (await client.ask("stats", queue="mail"))["ok"] is True


async def test_a_line_over_the_limit_is_refused_and_the_connection_closed() -> None:
    async with a_node() as node, connected(node) as client:
        client.send_raw(b'{"cmd":"push","queue":"mail","name":"n","data":"')
        for _ in range(limits.LINE_BYTES_MAX // 1_048_576):
            client.send_raw(b"x" * 1_048_576)
        answer = await client.answer()
        assert answer["error"]["code"] == "TOO_LARGE"
        assert answer["error"]["details"] == {"field": "line", "limit": limits.LINE_BYTES_MAX}


async def test_a_line_that_is_not_completed_in_time_closes_the_connection() -> None:
    # Given a short deadline and a client that drips bytes, which does not move the deadline
    async with a_node(limits=LimitsSettings(line_deadline_ms=200)) as node, connected(node) as client:
        assert (await client.ask("health"))["ok"] is True
        client.send_raw(b'{"cmd":')
        # When the deadline passes, then it is told and the connection is closed
        answer = await client.answer()
        assert answer["error"]["code"] == "REQUEST_TIMEOUT"
        assert await client.rest() == b""


async def test_an_idle_connection_has_no_deadline() -> None:
    settings = LimitsSettings(line_deadline_ms=100)
    async with a_node(limits=settings) as node, connected(node) as idle, connected(node) as slow:
        await idle.ask("health")
        slow.send_raw(b"{")
        assert (await slow.answer())["error"]["code"] == "REQUEST_TIMEOUT"
        assert (await idle.ask("health"))["ok"] is True


async def test_an_answer_is_one_line_however_its_payload_was_written() -> None:
    # Given a payload and a result that were written over several lines over HTTP
    async with a_node() as node, connected(node) as client:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        body = b'{\r\n  "name": "n",\r\n  "data": {\r\n    "text": "a\\nb",\n    "list": [1,\n2]\r  }\n}'
        assert (await wire.ask("POST", "/api/v1/queues/mail/jobs", body)).status == 201
        # When they are read over TCP, then each answer is a line
        client.send("pull", queue="mail", request_id=1)
        pulled = await client.answer()
        assert pulled["job"]["data"] == {"text": "a\nb", "list": [1, 2]}
        job_id = pulled["job"]["id"]
        assert (await wire.ask("POST", f"/api/v1/jobs/{job_id}/ack", b'{"result": {\n"done": true}}')).status == 200
        assert (await client.ask("get", id=job_id))["job"]["result"] == {"done": True}
        # And over HTTP they are as they were written
        assert b'"list": [1,\n2]' in (await wire.ask("GET", f"/api/v1/jobs/{job_id}")).body
        await wire.close()


async def test_a_client_that_shuts_down_its_side_still_gets_its_answers() -> None:
    async with a_node() as node, connected(node) as client:
        client.send("push", queue="mail", **JOB)
        client.send("stats", queue="mail")
        client.send("pull", queue="other", wait_ms=60_000)
        client.writer.write_eof()
        lines = (await client.rest()).splitlines()
        assert [line[:11] for line in lines] == [b'{"ok":true,'] * 3
        assert lines[2] == b'{"ok":true,"job":null}'


async def test_a_client_that_goes_away_leaves_the_line() -> None:
    async with a_node() as node, connected(node) as other:
        async with connected(node) as client:
            client.send("pull", queue="mail", wait_ms=60_000)
            await client.ask("health", request_id=1)
            assert node.gateway.waiting_count == 1
        await until(lambda: node.gateway.waiting_count == 0, other)
        await other.ask("push", queue="mail", **JOB)
        assert (await other.ask("stats", queue="mail"))["counts"]["waiting"] == 1


async def test_more_lines_than_may_be_on_their_way_are_all_answered() -> None:
    count = 3 * limits.PIPELINE_MAX
    async with a_node() as node, connected(node) as client:
        client.send_raw(b'{"cmd":"push","queue":"mail","name":"n"}\n' * count)
        for _ in range(count):
            assert (await client.answer())["ok"] is True
        assert (await client.ask("stats", queue="mail"))["counts"]["waiting"] == count


async def test_a_client_that_does_not_read_is_not_read_from() -> None:
    # Given a job of a megabyte, and a client that asks for it without end and reads nothing
    async with a_node() as node, connected(node) as client:
        job_id = (await client.ask("push", queue="mail", name="n", data="x" * 1_000_000))["id"]
        reader, writer = await asyncio.open_connection("127.0.0.1", node.tcp.port, limit=1)
        line = b'{"cmd":"get","id":"%s"}\n' % job_id.encode()
        writer.write(line * 2_000)
        # Then the node stops taking its lines, long before two gigabytes of answers lie about
        for _ in range(20):
            assert (await client.ask("health"))["ok"] is True
        transports = [connection.transport for connection in node.tcp.connections]
        unsent_bytes = [transport.get_write_buffer_size() for transport in transports if transport is not None]
        assert max(unsent_bytes) < 8_000_000
        writer.close()
        del reader


async def test_authentication() -> None:
    auth = AuthSettings(enabled=True, tokens=["good"])
    async with a_node(auth=auth) as node, connected(node) as client:
        refused = await client.ask("push", queue="mail", **JOB)
        assert refused["error"]["code"] == "UNAUTHORIZED"
        assert (await client.ask("health"))["ok"] is True
        assert (await client.ask("auth", token="bad"))["error"]["code"] == "UNAUTHORIZED"
        assert await client.ask("auth", token="good") == {"ok": True}
        assert (await client.ask("push", queue="mail", **JOB))["ok"] is True


async def test_three_bad_tokens_close_the_connection_and_five_lock_the_address_out() -> None:
    auth = AuthSettings(enabled=True, tokens=["good"])
    async with a_node(auth=auth) as node:
        async with connected(node) as client:
            for _ in range(10):
                client.send("auth", token="bad")
            for _ in range(3):
                assert (await client.answer())["error"]["code"] == "UNAUTHORIZED"
            assert await client.rest() == b""
        async with connected(node) as client:
            for _ in range(2):
                await client.ask("auth", token="bad")
            assert (await client.ask("auth", token="good"))["error"]["code"] == "RATE_LIMITED"


async def test_an_open_server_takes_any_token() -> None:
    async with a_node() as node, connected(node) as client:
        assert await client.ask("auth", token="anything") == {"ok": True}


async def test_connections_are_bounded() -> None:
    async with a_node(limits=LimitsSettings(tcp_connections_max=2)) as node, connected(node) as first:
        await first.ask("health")
        async with connected(node) as second:
            await second.ask("health")
            async with connected(node) as third:
                answer = await third.answer()
                assert answer["error"]["code"] == "OVERLOADED"
                assert answer["error"]["details"] == {"field": "connections", "limit": 2}
                assert await third.rest() == b""
        await until(lambda: len(node.tcp.connections) == 1, first)
        async with connected(node) as again:
            assert (await again.ask("health"))["ok"] is True


async def test_every_connection_sends_at_once_and_probes_dead_peers() -> None:
    async with a_node() as node, connected(node) as client:
        await client.ask("health")
        [connection] = node.tcp.connections
        assert connection.transport is not None
        found = connection.transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_a_stop_answers_what_was_read_and_closes_every_connection() -> None:
    async with a_node() as node, connected(node) as waiting, connected(node) as idle:
        await idle.ask("health")
        waiting.send("pull", queue="mail", wait_ms=60_000)
        waiting.send("pull", queue="mail", wait_ms=60_000, request_id=1)
        await waiting.ask("health", request_id=2)
        assert await node.stop(5)
        assert sorted((await waiting.rest()).splitlines()) == [
            b'{"ok":true,"job":null,"request_id":1}',
            b'{"ok":true,"job":null}',
        ]
        assert await idle.rest() == b""
