"""Several requests of one connection in one write, to a node that does not lead."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.cluster_rig import cluster
from tests.unit.tcp_client import connected


def request(cmd: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"cmd": cmd, **fields}) + b"\n"


async def test_a_pull_finds_what_its_own_connection_has_just_pushed_through_a_follower(tmp_path: Path) -> None:
    async with asyncio.timeout(180), cluster(tmp_path) as rig:
        # Given a connection to a follower
        await rig.led()
        async with connected(rig.nodes[rig.follower()]) as raw:
            # When it sends a push and a pull in one write
            raw.send_raw(request("push", queue="q", name="n", data=1) + request("pull", queue="q"))
            pushed, pulled = await raw.answer(), await raw.answer()
            # Then the pull has the job, although nothing was ready when the leader got it
            assert (pushed["ok"], pulled["job"]["id"]) == (True, pushed["id"])
            # And the acknowledgement, the next push and the next pull are one write again
            ack = request("ack", id=pushed["id"], attempt_token=pulled["job"]["attempt_token"])
            raw.send_raw(ack + request("push", queue="q", name="n", data=2) + request("pull", queue="q"))
            acked, pushed, pulled = await raw.answer(), await raw.answer(), await raw.answer()
            assert (acked["ok"], pulled["job"]["id"], pulled["job"]["data"]) == (True, pushed["id"], 2)
