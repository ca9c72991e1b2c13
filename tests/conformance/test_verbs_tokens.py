"""Verbs about bearer tokens, asked in every way that a client can ask. Tokens and their ids stand as `~1`, `~2`."""

import pytest

from tests.conformance.bodies import Step, ask, invalid, ok, refused
from tests.conformance.protocols import WAYS, play

SCOPES = [{"verbs": ["push", "pull"], "queues": ["mail.*"]}]

CASES: dict[str, list[Step]] = {
    "tokens": [
        (ask("token_list"), 200, ok(tokens=[])),
        (ask("token_create", name="b", scopes=SCOPES, expires_in_ms=60_000), 201, ok(id="~1", token="~2")),
        (ask("token_create", name="a", scopes=SCOPES), 201, ok(id="~3", token="~4")),
        (
            ask("token_create", name="a", scopes=SCOPES),
            409,
            refused("DUPLICATE_KEY", "There is a token named 'a' already", field="name"),
        ),
        (
            ask("token_list"),
            200,
            ok(
                tokens=[
                    {"id": "~3", "name": "a", "scopes": SCOPES, "created_at": "T", "expires_at": None},
                    {"id": "~1", "name": "b", "scopes": SCOPES, "created_at": "T", "expires_at": "T"},
                ]
            ),
        ),
        (ask("token_delete", id="~1"), 200, ok()),
        (ask("token_delete", id="~1"), 404, refused("TOKEN_NOT_FOUND", "Token '~1' not found")),
        (
            ask("token_list"),
            200,
            ok(tokens=[{"id": "~3", "name": "a", "scopes": SCOPES, "created_at": "T", "expires_at": None}]),
        ),
    ],
    "scopes that cannot be": [
        (
            ask("token_create", name="a b", scopes=SCOPES),
            400,
            invalid("'name' may only hold ASCII letters, digits, '-', '_' and '.'", field="name"),
        ),
        (
            ask("token_create", name="a", scopes=[*SCOPES, {"verbs": ["read"], "queues": ["ok", "no/slash"]}]),
            400,
            invalid("'scopes[1].queues[1]' may only hold what queue names hold, and '*'", field="scopes[1].queues[1]"),
        ),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
async def test_every_way_gives_the_same_whole_answer(case: str, way: str) -> None:
    steps = CASES[case]
    assert await play(steps, way) == [(status, body) for _, status, body in steps]
