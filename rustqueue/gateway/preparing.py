"""Commands with something in them that must not be logged: each is turned into one that may be, before it is proposed.

It must not know what is secret nor how it is kept so: `rustqueue.node` brings one `Prepare` for each such type of
command. Invariants: what a client sent of these types never reaches the log, the replicator or the observer; a mistake
found here is a refusal like any other; preparing is short work on the loop.

How a verb uses it: its wire form stands in `model.commands.SecretCommand`, which the log cannot decode; what it becomes
is an internal command of the machine (`!...`). `request_id` and `idempotency_key` are handed on. Equal requests should
become equal commands, or a repeat with the same idempotency key is taken for another request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from rustqueue.gateway.ports import Done
from rustqueue.model.commands import Command
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command


@dataclass(frozen=True, slots=True)
class Prepared:
    """What may be logged. `finish` completes the reply for the one who asked, with what only he may see."""

    command: Command
    finish: Callable[[Reply], Reply] | None = None


# The argument is the type that the function is registered for; no type can say so of a mapping.
Prepare = Callable[[Any], Prepared]
"""Raises `ApiError` for a mistake of the client."""

Preparing = Mapping[type[msgspec.Struct], Prepare]

NOTHING_TO_PREPARE: Preparing = {}


def prepare(step: Prepare, request: msgspec.Struct, done: Done) -> tuple[Command, bytes, Done]:
    """The command to propose, its text for the log, and where its reply goes."""
    prepared = step(request)
    finish = prepared.finish
    return prepared.command, encode_command(prepared.command), done if finish is None else partial(_land, done, finish)


def _land(done: Done, finish: Callable[[Reply], Reply], reply: Reply) -> None:
    done(reply if isinstance(reply, Refused) else finish(reply))
