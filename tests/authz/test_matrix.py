"""Every verb and every route, asked by every role about its own queue and about a foreign one, over TCP and HTTP.

Allowed means: not 401 and not 403; what the request then does is told elsewhere. Anything that is not allowed by the
table in `expected` must be refused.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode

import pytest

from rustqueue.api.routes import ROUTES, Body, Route, Source
from rustqueue.gateway.permits import NEEDS
from rustqueue.machine import keys, rows
from rustqueue.machine.rows import SweepRow
from rustqueue.model import commands, queries
from rustqueue.model.cluster.backups import BackupRequest
from rustqueue.model.cluster.requests import ClusterRequest
from rustqueue.model.ids import id_text
from rustqueue.node import Node
from rustqueue.settings import AuthSettings
from tests.authz.expected import ASKED, EVERYWHERE, FILTERED, JOB, OPEN, QUEUE, SCHEDULE, SCOPE_OF, SWEEP
from tests.conformance.protocols import tag_of
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import RawClient, a_node, connected

CHIEF = "the chief's own token"
OWN, FOREIGN = "own.mail", "foreign"
ROLES = {
    "nobody": None,
    "push": ("push", ["own.*"]),
    "pull": ("pull", ["own.*"]),
    "read": ("read", ["own.*"]),
    "admin of own": ("admin", ["own.*"]),
    "admin of others": ("admin", ["other.*", "ow", "own", "*.mail.x"]),
    "read of all": ("read", ["*"]),
    "admin of all": ("admin", ["*"]),
}
_OF_NODES = ClusterRequest | BackupRequest
VERBS = [
    tag_of(kind)
    for kind in (*get_args(commands.WireCommand | commands.SecretCommand), *get_args(queries.Query | _OF_NODES))
]


def allowed(role: str, verb: str, queue: str) -> bool:
    """The rule of decisions F in one place."""
    if ROLES[role] is None:
        return False
    scope, patterns = ROLES[role]  # type: ignore[misc]  # Not None, as has just been asked.
    if scope not in (SCOPE_OF[verb], "admin"):
        return False
    if patterns == ["*"] or verb in FILTERED:
        return True
    return verb not in EVERYWHERE and queue == OWN and "own.*" in patterns


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: filled(member, names) for key, member in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


@dataclass
class Place:
    """A node with a queue of one's own and a foreign one, and a token for every role."""

    node: Node
    chief: RawClient
    tokens: dict[str, str | None]

    async def names(self, queue: str) -> dict[str, str]:
        """A fresh job of the queue, and its sweep."""
        pushed = await self.chief.ask("push", queue=queue, name="n", flow_id="f", data=1)
        await self.chief.ask("schedule_create", name=queue, queue=queue, job_name="n", cron_expr="@yearly")
        return {QUEUE: queue, JOB: pushed["id"], SWEEP: id_text(sweep_id(queue)), SCHEDULE: queue}


def sweep_id(queue: str) -> bytes:
    return bytes(15) + bytes([len(queue)])


@asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    async with a_node(auth=AuthSettings(enabled=True, tokens=[CHIEF])) as node, connected(node) as chief:
        await chief.ask("auth", token=CHIEF)
        tokens: dict[str, str | None] = {"nobody": None}
        for number, (role, scope) in enumerate(ROLES.items()):
            if scope is not None:
                scopes = [{"verbs": [scope[0]], "queues": scope[1]}]
                made = await chief.ask("token_create", name=f"role{number}", scopes=scopes)
                tokens[role] = made["token"]
        for queue in (OWN, FOREIGN):
            sweep = SweepRow("drain", queue, "done", 0, 0, b"")
            node.machine.state.kv.write({keys.sweep(sweep_id(queue)): rows.encode(sweep)})
        yield Place(node, chief, tokens)


def test_every_verb_stands_in_both_tables() -> None:
    declared = {tag_of(kind) if kind is not commands.PushJobs else "push": need.verb for kind, need in NEEDS.items()}
    assert declared == {verb: scope for verb, scope in SCOPE_OF.items() if verb != "push_batch"}
    assert set(SCOPE_OF) == set(VERBS) == set(ASKED)
    assert {tag_of(kind) for kind in get_args(queries.ShellQuery)} - {
        tag_of(kind) for kind in get_args(_OF_NODES)
    } == OPEN


@pytest.mark.parametrize("role", ROLES)
async def test_tcp_refuses_what_the_table_does_not_allow(role: str) -> None:
    async with a_place() as place, connected(place.node) as client:
        if place.tokens[role] is not None:
            assert (await client.ask("auth", token=place.tokens[role]))["ok"] is True
        wrong = []
        for queue in (OWN, FOREIGN):
            for verb in VERBS:
                answer = await client.ask(verb, **filled(ASKED[verb], await place.names(queue)))
                wrong += judged(role, verb, queue, answer)
        assert wrong == []


@pytest.mark.parametrize("role", ROLES)
async def test_http_refuses_what_the_table_does_not_allow(role: str) -> None:
    async with a_place() as place:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", place.node.http.port))
        token = () if place.tokens[role] is None else (("Authorization", f"Bearer {place.tokens[role]}"),)
        wrong = []
        for queue in (OWN, FOREIGN):
            for route in ROUTES:
                if route.source is Source.GATEWAY:
                    method, target, body = spelled(route, filled(ASKED[route.verb], await place.names(queue)))
                    answer = await wire.ask(method, target, body, token)
                    wrong += judged(role, route.verb, queue, answer.json, answer.status)
        await wire.close()
        assert wrong == []


def judged(role: str, verb: str, queue: str, answer: Any, status: int | None = None) -> list[str]:
    """What is wrong with an answer."""
    code = answer["error"]["code"] if "error" in answer else None
    refusal = "UNAUTHORIZED" if ROLES[role] is None else "FORBIDDEN"
    expected = None if allowed(role, verb, queue) else refusal
    found = code if code in ("UNAUTHORIZED", "FORBIDDEN") else None
    problems = []
    if found != expected:
        problems.append(f"{role} asks {verb} of {queue}: {code or 'ok'}, expected {expected or 'no refusal'}")
    if status is not None and (status in (401, 403)) != (expected is not None):
        problems.append(f"{role} asks {verb} of {queue}: status {status}")
    if verb in FILTERED and role in ("read", "admin of own", "admin of others") and f'"{FOREIGN}"' in repr(answer):
        problems.append(f"{role} is told of {FOREIGN} by {verb}")
    return problems


def spelled(route: Route, fields: dict[str, Any]) -> tuple[str, str, bytes | None]:
    """Method, target and body of a request for a route."""
    path, left = route.path, dict(fields)
    for name in list(left):
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", str(left.pop(name)))
    if route.body is Body.NONE:
        return route.method, f"{path}?{urlencode(left)}" if left else path, None
    if route.path.endswith("/pull") and "{queue}" in route.path:
        left.pop("queue", None)
    return route.method, path, json.dumps(left).encode() if left else None
