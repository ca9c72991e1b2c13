"""How commands with a secret become commands that may be logged: bodies of the gateway's `Preparing`.

It must not know how a reply travels. Invariant: what is secret leaves in the reply to the one who asked, and nowhere
else.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from rustqueue.auth import bearer
from rustqueue.gateway.preparing import Prepared, Preparing
from rustqueue.gateway.schedules import PREPARE_SCHEDULES
from rustqueue.model.commands import TokenCreate, TokenPut
from rustqueue.model.replies import Reply, TokenCreated

Chance = Callable[[int], bytes]
"""So many random bytes."""


def preparing(chance: Chance) -> Preparing:
    return {TokenCreate: partial(_made, chance), **PREPARE_SCHEDULES}


def _made(chance: Chance, command: TokenCreate) -> Prepared:
    made = bearer.made_of(chance(bearer.ID_BYTES + bearer.SECRET_BYTES))
    logged = TokenPut(
        id=made.id,
        name=command.name,
        scopes=command.scopes,
        digest=made.digest,
        expires_in_ms=command.expires_in_ms,
        request_id=command.request_id,
    )
    return Prepared(logged, partial(_shown, made.text))


def _shown(text: str, reply: Reply) -> Reply:
    return msgspec.structs.replace(reply, token=text) if isinstance(reply, TokenCreated) else reply
