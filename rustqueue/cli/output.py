"""Answers to text: tables, JSON, and one job as a person wants to read it. Values in, text out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command has to say: `value` for `--output json`, `text` for people, `note` for standard error."""

    value: object
    text: str
    note: str = ""


def as_json(value: object) -> str:
    """One JSON document, indented, in the names of the wire."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def as_text(value: object) -> str:
    """A setting as a person writes it: JSON, but plain words without quotes."""
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Fixed-width columns: numbers to the right with thousands apart, everything else to the left."""
    lines = [list(headings)]
    numeric = [True] * len(headings)
    for row in rows:
        for column, cell in enumerate(row):
            numeric[column] = numeric[column] and isinstance(cell, int | float)
        lines.append([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row])
    if len(lines) == 1:
        numeric = [False] * len(headings)
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    aligned = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join(aligned)


def count_of(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
