"""The end of a member whose others are gone already: it closes its data in good order, and soon."""

import asyncio
import time
from pathlib import Path

from rustqueue.model.wire import decode_request
from tests.unit.cluster_rig import cluster


async def test_the_last_member_does_not_wait_for_those_who_never_come(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        # Given a leader with a push that no follower is there to take
        last = rig.nodes.pop(await rig.led())
        await asyncio.gather(*(rig.stop(name) for name in list(rig.nodes)))
        before = last.journal.last_index
        line = b'{"cmd":"push","queue":"q","name":"n","data":1}'
        push = asyncio.ensure_future(last.gateway.ask(decode_request(line), line))
        await rig.until(
            lambda: last.journal.last_index > before or last.cluster is None or last.cluster.role != "leader"
        )
        # When it is stopped
        begin_s = time.monotonic()
        ended_well = await last.stop(60.0)
        # Then it ends well, and long before its deadline
        assert ended_well
        assert time.monotonic() - begin_s < 30
        push.cancel()
        await asyncio.gather(push, return_exceptions=True)
