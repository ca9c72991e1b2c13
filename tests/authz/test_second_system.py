"""The second system's routes, asked by every role about its own kind and about a foreign one.

Allowed means: not 401 and not 403. What each route needs stands here by judgement, not by copying from the code.
"""

import asyncio
from typing import Any, Final

import msgspec
import pytest

from rustqueue.api.routes import Source
from rustqueue.api.second.routes import ROUTES
from tests.authz.test_matrix import FOREIGN, OWN, ROLES, Place, a_place
from tests.fuzz.shell import Answer, Wire

SCOPE_OF: Final = {
    "POST /jobs": "push",
    "GET /jobs": "read",
    "GET /jobs?kind": "read",
    "GET /jobs/{id}": "read",
    "POST /jobs/{id}/cancel": "admin",
}
EVERYWHERE: Final = {"GET /jobs"}
"""A list of all kinds needs the scope on all of them."""
OPEN: Final = {"GET /health", "GET /metrics"}


def allowed(role: str, route: str, kind: str) -> bool:
    if ROLES[role] is None:
        return False
    scope, patterns = ROLES[role]  # type: ignore[misc]  # Not None, as has just been asked.
    if scope not in (SCOPE_OF[route], "admin"):
        return False
    return patterns == ["*"] or (route not in EVERYWHERE and kind == OWN and "own.*" in patterns)


def spelled(route: str, kind: str, job_id: str) -> tuple[str, str, bytes | None]:
    method, path = route.split(" ")
    body = msgspec.json.encode({"kind": kind, "payload": 1}) if route == "POST /jobs" else None
    return method, path.replace("{id}", job_id).replace("?kind", f"?kind={kind}"), body


def judged(role: str, route: str, kind: str, answer: Answer) -> list[str]:
    refusal = {"status": 401, "error": "unauthorized"} if ROLES[role] is None else {"status": 403, "error": "forbidden"}
    body: Any = answer.json
    slug = body.get("error") if isinstance(body, dict) else None
    found = {"status": answer.status, "error": slug} if slug in ("unauthorized", "forbidden") else None
    expected = None if allowed(role, route, kind) else refusal
    if found == expected and answer.status < 500:
        return []
    return [f"{role} asks {route} of {kind}: {answer.status} {slug}, expected {expected or 'no refusal'}"]


def test_every_route_stands_in_the_table() -> None:
    guarded = {f"{route.method} {route.path}" for route in ROUTES if route.source is Source.JOBS}
    assert {route.partition("?")[0] for route in SCOPE_OF} == guarded
    assert {f"{route.method} {route.path}" for route in ROUTES} - guarded == OPEN


async def declared(place: Place) -> None:
    """Both queues are kinds."""
    for kind in (OWN, FOREIGN):
        answer = await place.chief.ask("queue_settings", queue=kind, payload_schema={"type": "integer"})
        assert answer["ok"] is True


@pytest.mark.parametrize("role", ROLES)
async def test_what_the_table_does_not_allow_is_refused(role: str) -> None:
    async with a_place() as place:
        await declared(place)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", place.node.http.port))
        token = () if place.tokens[role] is None else (("Authorization", f"Bearer {place.tokens[role]}"),)
        wrong = []
        for kind in (OWN, FOREIGN):
            for route in SCOPE_OF:
                pushed = await place.chief.ask("push", queue=kind, name="n", data=1)
                method, target, body = spelled(route, kind, pushed["id"])
                wrong += judged(role, route, kind, await wire.ask(method, target, body, token))
        for route in OPEN:
            method, path = route.split(" ")
            assert (await wire.ask(method, path, None, token)).status == 200
        await wire.close()
        assert wrong == []
