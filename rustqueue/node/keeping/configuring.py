"""What a node without others proposes before it serves: its settings, and the level of its program.

It must not know shells. Invariant: nothing is proposed that the log says already.
"""

import asyncio
from typing import Any

import rustqueue
from rustqueue.gateway.ports import Replicator
from rustqueue.machine.machine import Machine
from rustqueue.model.cluster.features import FEATURE_LEVEL
from rustqueue.model.commands import Configure, FeatureLevel
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command
from rustqueue.raft.ports import Proposal


class NotConfigured(Exception):
    """The log did not take what the node needs in it."""


async def configure(
    replicator: Replicator, machine: Machine, defaults: NodeDefaults, fault: asyncio.Future[BaseException]
) -> None:
    """Bring what is replicated in line with the settings and the program. Raises `NotConfigured`."""
    commands: list[Configure | FeatureLevel] = []
    if machine.state.meta.feature_level < FEATURE_LEVEL:
        commands.append(FeatureLevel(level=FEATURE_LEVEL, version=rustqueue.__version__))
    if machine.defaults != defaults:
        commands.append(Configure(defaults=defaults))
    for command in commands:
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        replicator.propose(Proposal(command, encode_command(command), answered.set_result))
        outcomes: set[asyncio.Future[Any]] = {answered, fault}
        await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        if fault.done():
            raise NotConfigured(f"the log failed at its first entry: {fault.result()}")
        reply = answered.result()
        if isinstance(reply, Refused):
            raise NotConfigured(f"the configuration was refused: {reply.error.message}")
