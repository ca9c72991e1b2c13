"""Descriptions and examples of the routes, out of docs/api.md: the page is written once, by hand."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ROUTE = re.compile(r"^### `(\w+ /\S*)`$", re.MULTILINE)
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@dataclass
class Told:
    """What the page says of one route."""

    section: str
    text: str
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    """Query and body of each example; a body of None is none."""
    answers: list[Any] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The first sentence, or the route's section where the page says nothing."""
        first = re.split(r"(?<=[.:;])\s", " ".join(self.text.split()), maxsplit=1)[0]
        return first.rstrip(".:;") or self.section


@cache
def told() -> dict[str, Told]:
    """By heading, as `GET /api/v1/jobs`."""
    found = {}
    sections = _SECTION.split(PAGE.read_text(encoding="utf-8"))
    for name, body in zip(sections[1::2], sections[2::2], strict=True):
        routes = _ROUTE.split(body)
        for heading, text in zip(routes[1::2], routes[2::2], strict=True):
            found[heading] = _read(name, text)
    return found


def _read(section: str, text: str) -> Told:
    entry = Told(section, _BLOCK.sub("", text).strip())
    for kind, content in _BLOCK.findall(text):
        if kind == "http":
            first, _, body = content.strip().partition("\n")
            query = dict(parse_qsl(first.partition("?")[2], keep_blank_values=True))
            entry.requests.append((query, msgspec.json.decode(body) if body.strip() else None))
        elif kind == "json":
            entry.answers.append(msgspec.json.decode(content))
    return entry
