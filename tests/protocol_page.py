"""The verb tables of docs/protocol.md, made from the structs. `python -m tests.protocol_page` rewrites them."""

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect as shapes

from rustqueue.model import commands, queries
from rustqueue.model.requests import Reading, Request, Write

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
BEGIN, END = "<!-- verbs: made by tests/protocol_page.py -->\n", "<!-- end of verbs -->\n"
_COMMON = {field.name for kind in (Request, Reading, Write) for field in msgspec.structs.fields(kind)}
_SOURCE = re.compile(r"\s*\([^()]*\b(?:contract|decisions)\b[^()]*\)", re.IGNORECASE)
"""Where a rule comes from is for those who change it."""
_SIMPLE = {
    shapes.BoolType: "bool",
    shapes.FloatType: "number",
    shapes.RawType: "any JSON",
    shapes.AnyType: "any JSON",
}


def bounds(low: Any, high: Any) -> str:
    if low is None and high is None:
        return ""
    return f" {'' if low is None else low}..{'' if high is None else f'{high:,}'}"


def type_text(kind: shapes.Type) -> str:
    """A type as a reader of the protocol needs it."""
    match kind:
        case shapes.IntType():
            return "integer" + bounds(f"{kind.ge:,}" if kind.ge is not None else None, kind.le)
        case shapes.StrType():
            return "text" + (f" of at most {kind.max_length:,}" if kind.max_length is not None else "")
        case shapes.LiteralType():
            return " or ".join(f"`{value}`" for value in kind.values)
        case shapes.EnumType():
            return " or ".join(f"`{value}`" for value in kind.cls)
        case shapes.ListType():
            return f"list of {type_text(kind.item_type)}" + (
                f", at most {kind.max_length:,}" if kind.max_length else ""
            )
        case shapes.DictType():
            return "object"
        case shapes.StructType():
            return f"{kind.cls.__name__} object"
        case shapes.UnionType():
            return " or ".join(type_text(part) for part in kind.types if not isinstance(part, shapes.NoneType))
        case _:
            return _SIMPLE.get(type(kind), "")


def field_text(field: shapes.Field) -> str:
    text = type_text(field.type)
    if field.required:
        return f"`{field.encode_name}` {text} (required)"
    default = field.default
    shown = default not in (None, msgspec.NODEFAULT, msgspec.UNSET)
    return f"`{field.encode_name}` {text}" + (f" = {msgspec.json.encode(default).decode()}" if shown else "")


def verbs() -> str:
    """One section a verb, in the order of the vocabulary."""
    kinds = (
        *get_args(commands.WireCommand | commands.SecretCommand),
        *get_args(queries.Query),
        *get_args(queries.ShellQuery),
    )
    sections = []
    for kind in kinds:
        told = shapes.type_info(kind)
        assert isinstance(told, shapes.StructType)
        fields = [field_text(field) for field in told.fields if field.encode_name not in _COMMON]
        doc = _SOURCE.sub("", inspect.cleandoc(kind.__doc__ or "")) if "__doc__" in vars(kind) else ""
        parts = [f"### `{told.tag}`", doc, "\n".join(f"- {field}" for field in fields)]
        sections.append("\n\n".join(part for part in parts if part))
    return "\n\n".join(sections) + "\n"


def page_with(text: str) -> str:
    """The page with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + verbs() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
