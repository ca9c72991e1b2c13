"""Commands about bearer tokens."""

import argparse

from rustqueue.cli.output import Shown, table
from rustqueue.cli.parsing import bounded
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.tokens import ScopeGiven
from rustqueue.model import limits
from rustqueue.model.tokens import Scope, scope_of_text


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.group(
        "tokens",
        "make, list and revoke bearer tokens",
        "rustqueue tokens create worker --scope 'push,pull:mail.*' --scope 'read:*'",
        "rustqueue tokens list",
        "rustqueue tokens revoke 5f1c0a9be2d34467",
    )
    parser = group.add(
        "create",
        create,
        "make a bearer token and show it, once",
        "rustqueue tokens create worker --scope 'push,pull:mail.*'",
        "rustqueue tokens create dashboard --scope 'read:*' --expires-in-ms 86400000 --output json",
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--scope",
        type=scope,
        action="append",
        required=True,
        metavar="VERBS:QUEUES",
        help="verbs (push, pull, read, admin) and queue patterns, each with commas between; may be given again",
    )
    parser.add_argument(
        "--expires-in-ms", type=bounded(1, limits.DURATION_MS_MAX), metavar="MS", help="else it lasts until revoked"
    )
    group.add("list", list_tokens, "show all tokens, without their secrets", "rustqueue tokens list --output json")
    parser = group.add("revoke", revoke, "delete a token", "rustqueue tokens revoke 5f1c0a9be2d34467")
    parser.add_argument("id", metavar="ID")


def scope(text: str) -> ScopeGiven:
    """`push,pull:mail.*,sms` as a scope, for argparse."""
    try:
        given = scope_of_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return {"verbs": given.verbs, "queues": given.queues}


def create(arguments: argparse.Namespace, client: Client) -> Shown:
    made = client.create_token(arguments.name, arguments.scope, expires_in_ms=arguments.expires_in_ms)
    answer = {"ok": True, "id": made.id, "token": made.token}
    return Shown(answer, made.token, f"token {made.id}; it is not shown again")


def list_tokens(arguments: argparse.Namespace, client: Client) -> Shown:
    found = client.tokens()
    headings = ["ID", "Name", "Scopes", "Created", "Expires"]
    lines = [(t.id, t.name, " ".join(map(_scope_text, t.scopes)), t.created_at, t.expires_at or "-") for t in found]
    return Shown({"ok": True, "tokens": found}, table(headings, lines) if lines else "no tokens")


def _scope_text(given: Scope) -> str:
    return f"{','.join(given.verbs)}:{','.join(given.queues)}"


def revoke(arguments: argparse.Namespace, client: Client) -> Shown:
    client.delete_token(arguments.id)
    return Shown({"ok": True}, f"revoked {arguments.id}")
