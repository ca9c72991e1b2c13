"""Bearer tokens: made, deleted, listed. All of them are in memory, since every request looks at the one it showed.

It must not know what a scope allows, nor the text of a token: a digest is all that comes here. Invariants: an id and a
name belong to one token; a token that has expired gives its name and its room back to the next one that is made.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.rows import TokenRow
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.commands import TokenDelete, TokenPut
from rustqueue.model.errors import Conflict, NotFound, ValidationFailed
from rustqueue.model.replies import Done, Reply, TokenCreated, TokenPage
from rustqueue.model.times import to_text
from rustqueue.model.tokens import TokenInfo


def put(state: State, tx: Tx, command: TokenPut) -> Reply:
    """Keep a new token. The number of tokens is bounded, so looking at each of them is bounded too."""
    tokens = state.tokens
    gone = {row.id for row in tokens.values() if row.expires_at is not None and row.expires_at <= tx.now_ms}
    live = [row for row in tokens.values() if row.id not in gone]
    if any(row.name == command.name or row.id == command.id for row in live):
        raise Conflict.token_name(command.name)
    if len(live) >= limits.TOKENS_MAX:
        raise ValidationFailed(f"there are {limits.TOKENS_MAX} tokens", "name", limit=limits.TOKENS_MAX)
    # By id: in memory they stand in another order after a restart, and the state hash runs over rows as written.
    for token_id in sorted(gone):
        _drop(state, tx, token_id)
    expires_at = None if command.expires_in_ms is None else tx.now_ms + command.expires_in_ms
    row = TokenRow(command.id, command.name, command.scopes, bytes.fromhex(command.digest), tx.now_ms, expires_at)
    tx.rows[keys.token(row.id)] = rows.encode(row)
    tokens[row.id] = row
    return TokenCreated(id=row.id)


def delete(state: State, tx: Tx, command: TokenDelete) -> Reply:
    if command.id not in state.tokens:
        raise NotFound.token(command.id)
    _drop(state, tx, command.id)
    return Done()


def _drop(state: State, tx: Tx, token_id: str) -> None:
    del state.tokens[token_id]
    tx.rows[keys.token(token_id)] = None


def listed(state: State) -> TokenPage:
    """All tokens by name; those that have expired are among them until their name is wanted again."""
    found = sorted(state.tokens.values(), key=lambda row: row.name)
    return TokenPage(tokens=[_info(row) for row in found])


def _info(row: TokenRow) -> TokenInfo:
    expires_at = None if row.expires_at is None else to_text(row.expires_at)
    return TokenInfo(row.id, row.name, row.scopes, to_text(row.created_at), expires_at)
