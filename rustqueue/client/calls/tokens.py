"""The verbs about bearer tokens; methods of the same names on the clients."""

from collections.abc import Iterable, Sequence
from typing import TypedDict

import msgspec

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.client.errors import InvalidRequest, NotFound, RustQueueError
from rustqueue.client.results import NewToken, Token
from rustqueue.model import commands, queries
from rustqueue.model.tokens import Scope, ScopeVerb


class ScopeGiven(TypedDict):
    """Verbs on the queues that one of the patterns names; `*` in a pattern stands for any characters."""

    verbs: Sequence[ScopeVerb]
    queues: Sequence[str]


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[Token]


_read_new = whole(NewToken)
_read_tokens = reader(_Tokens, lambda answer: answer.tokens)


def create_token(name: str, scopes: Iterable[ScopeGiven], *, expires_in_ms: int | None = None) -> Call[NewToken]:
    """Make a bearer token. Its text is in the answer and can never be seen again."""
    try:
        given = [msgspec.convert({"verbs": [*one["verbs"]], "queues": [*one["queues"]]}, Scope) for one in scopes]
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise InvalidRequest("VALIDATION_ERROR", f"scopes: {error}", 400) from error
    request = commands.TokenCreate(name=name, scopes=given, expires_in_ms=expires_in_ms)
    return Call(request, _read_new, repeat="asked")


def tokens() -> Call[list[Token]]:
    """All bearer tokens by name, without their text."""
    return Call(queries.TokenList(), _read_tokens)


def delete_token(token_id: str) -> Call[None]:
    """Revoke a token: whoever shows it is refused from now on."""
    return Call(commands.TokenDelete(id=token_id), nothing, refused=_already_deleted)


def _already_deleted(error: RustQueueError, resent: bool) -> None:
    if not (resent and isinstance(error, NotFound)):
        raise error
