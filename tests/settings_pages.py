"""The pages made from the settings: `python -m tests.settings_pages` writes them, a test holds them.

The table of docs/configuration.md between its marks, `.env.example`, and examples/rustqueue.toml.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes

from rustqueue.settings import Settings
from rustqueue.settings.pages import defaults, environment_template, toml, toml_template
from rustqueue.settings.told import KEYS, SECTIONS
from tests.protocol_page import type_text

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- made from the settings: begin -->", "<!-- made from the settings: end -->"


def files() -> dict[Path, str]:
    """What each generated file must hold."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    page = before + BEGIN + "\n\n" + "\n".join(table()) + "\n" + END + rest.partition(END)[2]
    return {
        PAGE: page,
        ROOT / ".env.example": environment_template(),
        ROOT / "examples" / "rustqueue.toml": toml_template(),
    }


def table() -> Iterator[str]:
    """One section after the other."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for section, told in SECTIONS.items():
        yield f"### `[{section}]`\n\n{told}\n\n| key | default | what it does |\n|---|---|---|"
        fields = {field.name: field for field in msgspec.structs.fields(kinds[section])}
        for key, default in defaults():
            above, _, name = key.partition(".")
            if above == section:
                shown = "" if default is None else f"`{toml(default)}`"
                bounds = _bounds(fields[name].type)
                yield f"| `{name}` | {shown} | {KEYS[key]}{bounds} |"
        yield ""


def _bounds(kind: Any) -> str:
    """What values it takes, where that is not plain from the default."""
    told = shapes.type_info(kind)
    if isinstance(told, shapes.UnionType):
        told = next(part for part in told.types if not isinstance(part, shapes.NoneType))
    if isinstance(told, shapes.IntType) and told.ge is not None:
        return f" {told.ge:,} to {told.le:,}." if told.le is not None else f" At least {told.ge:,}."
    return f" {type_text(told)}." if isinstance(told, shapes.LiteralType) else ""


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
