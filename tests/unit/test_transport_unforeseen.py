"""Errors that nobody foresaw: a peer is dialled again after them, instead of being given up until the next start."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from tests.unit.link_rig import Member, a_message, lasting_address, linked, running, until


class ConfusedLoop(asyncio.SelectorEventLoop):
    """Takes a descriptor for one of its own, once, as event loops have done when numbers of closed ones came back."""

    confused_count = 0

    async def sock_connect(self, sock: Any, address: Any) -> None:
        if self.confused_count == 0:
            self.confused_count += 1
            raise RuntimeError(f"File descriptor {sock.fileno()!r} is used by transport")
        await super().sock_connect(sock, address)


def test_an_error_of_the_loop_does_not_end_the_dialling() -> None:
    async def story() -> None:
        one, two = Member("n1"), Member("n2")
        async with running(one, two):
            one.links.set_peers({"n2": two.address})
            await until(lambda: ("up", "n2") in one.events)
            assert one.faults == {"unreachable": 1}

    with asyncio.Runner(loop_factory=ConfusedLoop) as runner:
        runner.run(story())


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_error_of_whoever_is_told_of_a_lost_link_does_not_end_the_dialling(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        # Given two members, one of which raises when it learns that its link is lost
        address = lasting_address()
        one, two = Member("n1"), Member("n2", listen=address)
        unhandled: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: unhandled.append(context.get("exception"))
        )
        mishap = ArithmeticError("a defect")

        def down(peer: str) -> None:
            one.events.append(("down", peer))
            raise mishap

        async with linked(one, two):
            one.links.on_down = down
            # When the other one goes and comes back
            await two.links.close()
            await until(lambda: ("down", "n2") in one.events)
            one.events.clear()
            again = Member("n2", listen=address)
            async with running(again):
                # Then it is linked again
                await until(lambda: ("up", "n2") in one.events)
                assert one.links.send("n2", a_message(9))
                await until(lambda: again.messages == [("n1", a_message(9))])
                one.links.on_down = lambda peer: None
        assert unhandled == [mishap]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(story())
