"""Variants of a request: one thing about it changed, as somebody's mistake would. Cheap, so that one generated case
makes ten. It must not know what is right: most variants are wrong, some are not.
"""

import random
from collections.abc import MutableMapping
from typing import Any, TypeAlias

from schemathesis import Case

AnyCase: TypeAlias = Case[Any]
QUEUES = ("mail", "reports", "empty")
NAMES = ("nightly", "hook")
KINDS = ("mail", "reports", "send_email", "resize_image", "summarize_text", "webhook_delivery")
SOON = {"wait_ms": 5, "min_index": 3, "X-RustQueue-Min-Index": 3}
"""What a request may ask to wait for; there are more entries than that from the start."""
DEEP = [[[[[[[[[[[[[[[[{"deep": [1]}]]]]]]]]]]]]]]]]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 255, 1_000, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 2**64, -(2**64), 0.5, 1e308),
    *("", "a", "mail", "x" * 300, "y" * 20_000, "a b", "a/b", "..", "é💥", "\0", "null", "1", "2026-11-22T11:30:07Z"),
    *("custom:mail:x", "custom:", "01a20287-0144-7000-885c-9ef3fab31132", "*", "%41"),
    *([], [1], [None], ["a", "a"], {}, {"a": 1}, {"": None}, DEEP, {"deep": DEEP}),
)
TEXTS = (
    "",
    "0",
    "1",
    "-1",
    "true",
    "x",
    "99999999999999999999999",
    "1.5",
    "é",
    "a b",
    "mail",
    "asc",
    "completed",
    "%",
    "&",
)


class Variants:
    """`known` are ids of jobs that there are, or were."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self.known: list[str] = []

    def settle(self, case: AnyCase) -> None:
        """Names of things that there are, mostly, and waits that end."""
        draw, path = self._draw, case.path_parameters or {}
        if "queue" in path and draw.random() < 0.8:
            path["queue"] = draw.choice(QUEUES)
        if "name" in path and draw.random() < 0.7:
            path["name"] = draw.choice(NAMES)
        if "id" in path and self.known and draw.random() < 0.7:
            path["id"] = draw.choice(self.known)
        if isinstance(case.body, dict) and "kind" in case.body and draw.random() < 0.8:
            case.body["kind"] = draw.choice(KINDS)
        for part in (case.query, case.body, case.headers):
            if isinstance(part, MutableMapping):
                _shorten(part)

    def change(self, case: AnyCase) -> None:
        """Change one thing in place."""
        draw = self._draw
        if case.query and draw.random() < 0.3:
            case.query[draw.choice([*case.query, "unknown"])] = draw.choice(TEXTS)
        elif isinstance(case.body, dict | list):
            case.body = self._changed(case.body)
        self.settle(case)

    def _changed(self, value: Any) -> Any:
        draw = self._draw
        if isinstance(value, dict):
            return self._changed_object(dict(value))
        if isinstance(value, list) and value and draw.random() < 0.8:
            place = draw.randrange(len(value))
            how = draw.random()
            if how < 0.2:
                return value[:place] + value[place + 1 :]
            if how < 0.4:
                return [*value, value[place]]
            return [*value[:place], self._changed(value[place]), *value[place + 1 :]]
        return draw.choice(VALUES)

    def _changed_object(self, members: dict[str, Any]) -> dict[str, Any]:
        draw = self._draw
        how = draw.random()
        if not members or how < 0.1:
            members[draw.choice(("unknown", "cmd", "queue", "id", "options", "name", "data"))] = draw.choice(VALUES)
            return members
        key = draw.choice(list(members))
        if how < 0.25:
            del members[key]
        elif how < 0.5:
            members[key] = self._changed(members[key])
        else:
            members[key] = draw.choice(VALUES)
        return members


def _shorten(part: MutableMapping[str, Any]) -> None:
    for name, most in SOON.items():
        value = part.get(name)
        if isinstance(value, int | float):
            part[name] = min(value, most)
        elif isinstance(value, str) and value.isdecimal():
            part[name] = str(min(int(value), most))
