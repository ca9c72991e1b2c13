"""kopf as a watcher: it keeps the watches of our kinds alive and tells what it sees. Nothing else of it is used.

Its change handlers are not: they keep progress and a copy of the spec in annotations (three writes for each change),
lose one of two changes that come together, and retry each object by itself. A key in our own queue has none of that.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

import kopf

from rustqueue_operator.kinds.table import GROUP, KINDS, VERSION
from rustqueue_operator.kube.access import Access
from rustqueue_operator.kube.calls import Key

Seen = Callable[[str, Key, dict[str, Any]], None]
"""Told `DELETED` or another type, the key and the object."""

_INACTIVITY_S: Final = 70.0
# The API server takes whole numbers only.
_SERVER_TIMEOUT_S: Final = 300
_EXIT_S: Final = 2.0


def settings() -> kopf.OperatorSettings:
    """No peering, no scanning for namespaces and CRDs (it needs rights over the whole cluster, and without them stays
    idle for most of a minute), no events made of log lines.
    """
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.watching.server_timeout = _SERVER_TIMEOUT_S
    chosen.watching.client_timeout = _SERVER_TIMEOUT_S + 10
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = _INACTIVITY_S
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    # It would kill this process from inside while we still release the Lease.
    chosen.process.ultimate_exiting_timeout = None
    return chosen


def registry(access: Access, seen: Seen) -> kopf.OperatorRegistry:
    """One low-level handler for each kind, and the one way to log in."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=access.server,
            ca_path=access.ca_path,
            scheme="Bearer" if access.token is not None else None,
            token=access.token,
            certificate_path=access.certificate_path,
            private_key_path=access.key_path,
        )

    for kind in KINDS.values():
        _watch(made, kind.plural, seen)
    return made


def _watch(made: kopf.OperatorRegistry, plural: str, seen: Seen) -> None:
    @kopf.on.event(GROUP, VERSION, plural, registry=made)
    async def told(event: Any, **_: Any) -> None:
        raw = dict(event["object"])
        metadata = raw["metadata"]
        seen(str(event.get("type")), Key(plural, metadata["namespace"], metadata["name"]), raw)


async def watch(access: Access, namespaces: Collection[str], seen: Seen, take_signals: Callable[[], None]) -> None:
    """Watch until cancelled, or until kopf gives up; then the process should end and be started anew.

    kopf's own `operator` and `run_tasks` are not used: the one listens to signals in our place, the other ends every
    task of the event loop and takes five seconds for it.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry(access, seen),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
    )
    take_signals()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_EXIT_S)
