"""The chart's schema of `settings`, made from the sections of the configuration: `python -m tests.chart_settings`.

What a node would refuse when it starts is refused before anything is installed: unknown keys, other types, numbers out
of bounds. Patterns of texts stay with the node, which says in words what it expects.
"""

import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

from rustqueue.settings.sections import Settings

SCHEMA: Final = Path(__file__).resolve().parent.parent / "charts" / "rustqueue" / "values.schema.json"
Part = dict[str, Any]


def schema_of_settings() -> Part:
    """Every section with its keys; a number or a boolean may be written as a text too, as in the environment."""
    hints = get_type_hints(Settings, include_extras=True)
    sections = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Struct)}
    return _closed({name: _section(hint) for name, hint in sections.items()})


def _section(section: type[Struct]) -> Part:
    return _closed({key: _of(hint) for key, hint in get_type_hints(section, include_extras=True).items()})


def _closed(properties: Part) -> Part:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of(hint: Any) -> Part:
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *metas = get_args(hint)
        return {**_of(inner), **_bounds(inner, [meta for meta in metas if isinstance(meta, Meta)])}
    if origin in (Union, UnionType):
        return _either([each for each in get_args(hint) if each is not NoneType])
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is list:
        return {"type": ["array", "string"], "items": _element(get_args(hint)[0])}
    simple: dict[Any, Part] = {
        bool: {"enum": [True, False, "true", "false"]},
        int: {"type": ["integer", "string"], "pattern": "^-?[0-9]+$"},
        str: {"type": "string"},
    }
    return dict(simple[hint])


def _either(hints: list[Any]) -> Part:
    if len(hints) == 1:
        return _of(hints[0])
    # A number, or a word that stands for one: what the two say of texts goes together.
    number, word = map(_of, hints)
    return {**number, "pattern": f"^([0-9]+|{'|'.join(word['enum'])})$"}


def _element(hint: Any) -> Part:
    part = _of(hint)
    # In a list of numbers a text is a mistake, since lists go to the node as they are.
    return {key: value for key, value in part.items() if key != "pattern"} | {"type": _first(part["type"])}


def _first(types: str | list[str]) -> str:
    return types if isinstance(types, str) else types[0]


def _bounds(inner: Any, metas: list[Meta]) -> Part:
    found: Part = {}
    for meta in metas:
        if inner is int:
            found |= {key: value for key, value in (("minimum", meta.ge), ("maximum", meta.le)) if value is not None}
        elif get_origin(inner) is list and meta.max_length is not None:
            found["maxItems"] = meta.max_length
    return found


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = schema_of_settings()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
