"""Where requests come from: web pages of other origins, names of this server, proxies in front of it."""

import asyncio
from contextlib import nullcontext

import pytest
from multidict import CIMultiDict

from rustqueue.api.refusals import HostNotAllowed
from rustqueue.api.visitors import Visitors
from rustqueue.settings import AuthSettings, ServerSettings
from tests.fuzz.shell import Answer, Wire
from tests.unit.tcp_client import a_node

PAGE = "https://board.example.org"


async def asked(server: ServerSettings, *requests: tuple[str, str, dict[str, str]]) -> list[Answer]:
    """Answers of a node to method, target and headers."""
    async with a_node(server=server) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.http.port)
        wire, answers = Wire(reader, writer), []
        for method, target, headers in requests:
            given = {"Host": "127.0.0.1", **headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            wire.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode())
            answers.append(await wire.answer())
        await wire.close()
        return answers


def local(**fields: list[str]) -> ServerSettings:
    return ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0, **fields)  # type: ignore[arg-type]


def cors_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name == "vary" or name.startswith("access-")}


PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


async def test_no_page_is_let_in_by_default() -> None:
    simple, preflight = await asked(
        local(), ("GET", "/api/v1/queues", {"Origin": PAGE}), ("OPTIONS", "/api/v1/queues/q/jobs", PREFLIGHT)
    )
    assert (simple.status, cors_of(simple), preflight.status, cors_of(preflight)) == (200, {}, 204, {})


async def test_a_listed_page_is_let_in() -> None:
    simple, refused, preflight = await asked(
        local(cors_origins=[PAGE]),
        ("GET", "/api/v1/queues", {"Origin": PAGE}),
        ("GET", "/api/v1/none", {"Origin": PAGE}),
        ("OPTIONS", "/api/v1/queues/q/jobs", PREFLIGHT),
    )
    let_in = {
        "vary": "Origin",
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "Allow, Retry-After, X-Request-Id, X-RustQueue-Index, X-RustQueue-Stale",
    }
    assert (cors_of(simple), cors_of(refused), refused.status) == (let_in, let_in, 404)
    told = cors_of(preflight)
    assert told.items() >= let_in.items()
    assert told["access-control-allow-methods"] == "GET, OPTIONS, POST"
    assert "Authorization" in told["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in told


async def test_other_pages_stay_out() -> None:
    others = (PAGE + ".evil.example", "http://board.example.org", "null", PAGE + ":444")
    answers = await asked(
        local(cors_origins=[PAGE]),
        *(("OPTIONS", "/api/v1/queues/q/jobs", {**PREFLIGHT, "Origin": other}) for other in others),
    )
    assert [cors_of(answer) for answer in answers] == [{"vary": "Origin"}] * len(others)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("queue.example.org", True),
        ("QUEUE.example.org:6790", True),
        ("a.b.inner.example.org", True),
        ("inner.example.org", False),
        ("evil.example", False),
        ("queue.example.org.evil.example", False),
        ("", False),
        ("[::1]", True),
        ("[::1]:6790", True),
        ("10.0.0.1:7000", True),
        ("10.0.0.1:7001", False),
    ],
)
def test_a_request_must_know_our_name(host: str, is_ours: bool) -> None:
    visitors = Visitors((), ("queue.example.org", "*.inner.example.org", "[::1]", "10.0.0.1:7000"), ())
    with nullcontext() if is_ours else pytest.raises(HostNotAllowed):
        visitors.check_host(CIMultiDict(Host=host))


async def test_a_foreign_name_is_refused_but_for_probes() -> None:
    foreign = {"Host": "rebound.example"}
    answers = await asked(
        local(allowed_hosts=["queue.example.org"]),
        ("GET", "/api/v1/queues", foreign),
        ("GET", "/api/v1/queues", {"Host": "queue.example.org"}),
        ("GET", "/livez", foreign),
        ("GET", "/api/v1/metrics/prometheus", foreign),
    )
    assert [answer.status for answer in answers] == [421, 200, 200, 200]
    assert answers[0].code == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.7", [], "10.0.0.7"),
        ("10.0.0.7", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.7", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.7", ["192.0.2.66", "198.51.100.1, 10.0.0.8"], "198.51.100.1"),
        ("10.0.0.7", ["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ("10.0.0.7", ["no address, 10.0.0.8"], "10.0.0.8"),
        ("::ffff:10.0.0.7", ["2001:db8::1"], "2001:db8::1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_a_proxy_is_believed_and_nobody_else(peer: str, forwarded: list[str], found: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    assert Visitors((), (), ("10.0.0.0/8",)).peer_of(peer, headers) == found
    assert Visitors((), (), ()).peer_of(peer, headers) == peer


async def test_a_lockout_is_of_the_address_behind_the_proxy() -> None:
    server = local(trusted_proxies=["127.0.0.0/8"])
    async with a_node(server=server, auth=AuthSettings(enabled=True, tokens=["good"])) as node:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))

        async def status(token: str, client: str) -> int:
            headers = (("Authorization", f"Bearer {token}"), ("X-Forwarded-For", client))
            return (await wire.ask("GET", "/api/v1/queues", None, headers)).status

        # Given somebody behind the proxy who guesses, from many addresses of one network
        guesses = [await status("bad", f"2001:db8:0:1::{number}") for number in range(7)]
        # Then he is locked out, and others behind the proxy are not
        assert guesses == [401, 401, 401, 401, 401, 429, 429]
        assert await status("good", "2001:db8:0:1::77") == 429
        assert await status("good", "2001:db8:0:2::1") == 200
        await wire.close()
