"""The audit log: one line for everything that an administrator asks of queues, tokens and the node.

It must not know what a verb does. Invariants: a line names who, what, on what and with which outcome; it holds no
secret, no payload and nothing that is not listed here; refusals of one second cannot fill the log.
"""

import logging
from collections.abc import Callable
from typing import Final

from rustqueue.auth import Principal
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import Request

log: Final = logging.getLogger("rustqueue.audit")

_TOLD: Final = ("queue", "name", "id", "mode", "state", "force", "dry_run", "if_match", "if_owner")
"""Fields of requests that are in the line where a request has them."""

_REFUSALS_PER_S: Final = 20


class AuditLog:
    """Given to the gateway. Never rejects anything itself."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._second = 0
        self._refusals = 0

    def __call__(self, principal: Principal, request: Request, reply: Reply) -> None:
        target: dict[str, object] = {
            name: value for name in _TOLD if (value := getattr(request, name, None)) not in (None, False)
        }
        made = getattr(reply, "id", None)
        if made is not None:
            target["id"] = made
        outcome = reply.error.code if isinstance(reply, Refused) else "ok"
        skipped = self._skipped() if outcome != "ok" else 0
        if skipped is None:
            return
        fields: dict[str, object] = {
            "principal": principal.name,
            "verb": _verb_of(request),
            "target": target,
            "outcome": outcome,
        }
        if principal.tenant:
            fields["tenant"] = principal.tenant
        if skipped:
            fields["refusals_not_told"] = skipped
        log.info("administration", extra=fields)

    def _skipped(self) -> int | None:
        """Refusals that were not told since the last line of one; None when this one is not told either."""
        second = int(self._monotonic_s())
        if second != self._second:
            skipped, self._second, self._refusals = max(0, self._refusals - _REFUSALS_PER_S), second, 0
        else:
            skipped = 0
        self._refusals += 1
        return None if self._refusals > _REFUSALS_PER_S else skipped


def _verb_of(request: Request) -> str:
    return str(request.__struct_config__.tag)
