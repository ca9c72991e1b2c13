"""The same mistake has the same code over HTTP and TCP (decisions A8), asked of one node over both."""

import asyncio

from rustqueue.api.compose import compose
from rustqueue.api.routes import Router
from rustqueue.model.errors import ApiError
from tests.fuzz.shell import Wire
from tests.fuzz.test_http_bad_input import BODIES, BadBody
from tests.unit.tcp_client import a_node, connected

ROUTER = Router()
# Contract A5 and A6 ask less of TCP: these it may leave out.
OPTIONAL_ON_TCP = (b'{"name":"n"}', b"{}")


def line_of(bad: BadBody) -> bytes | None:
    """The same request for TCP, or None when only HTTP can get it wrong, or a line cannot hold it."""
    route, parameters = ROUTER.find(bad.method, bad.target)
    try:
        line = compose(route, parameters, "", None, bad.body)
    except ApiError:
        return None
    return None if b"\n" in line or bad.body in OPTIONAL_ON_TCP else line


async def test_both_protocols_give_the_same_code() -> None:
    compared = 0
    async with a_node() as node, connected(node) as tcp:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        for bad in BODIES:
            line = line_of(bad)
            if line is None:
                continue
            answer = await wire.ask(bad.method, bad.target, bad.body)
            tcp.send_raw(line + b"\n")
            told = await tcp.answer()
            assert (told["ok"], told["error"]["code"]) == (False, answer.code), line[:200]
            assert told["error"]["details"] == answer.json["error"]["details"], line[:200]
            compared += 1
        await wire.close()

    assert compared > 50
