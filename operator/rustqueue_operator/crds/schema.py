"""A structural OpenAPI schema, as Kubernetes wants it, from a type. Knows msgspec's JSON Schema and nothing else.

Kubernetes takes no references, no null beside a type, no `additionalProperties: false` (unknown fields are pruned, or
refused when the client asks for strict validation), and calls an integer beyond 32 bits int64.
"""

from typing import Any, Final

import msgspec

_DROPPED: Final = frozenset({"title", "default"})
_PLAIN: Final = frozenset({"type", "description", "pattern", "format", "enum"})
# JSON Schema's names; the last four are for maps.
_BOUNDS: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "minLength",
    "maxLength": "maxLength",
    "minItems": "minItems",
    "maxItems": "maxItems",
    "minProperties": "minProperties",
    "maxProperties": "maxProperties",
}


def structural(type_: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of a struct with everything that it refers to in place."""
    (schema,), components = msgspec.json.schema_components([type_], ref_template="{name}")
    return _plain(schema, components)


def _plain(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        outer = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_plain(components[schema["$ref"]], components), **outer}
    if "anyOf" in schema:
        (inner,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        outer = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _plain({**inner, **outer}, components)
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PLAIN or key in _BOUNDS or key.startswith("x-kubernetes-"):
            plain[key] = value
        elif key == "properties":
            plain[key] = {name: _plain(field, components) for name, field in value.items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict) and value):
            plain[key] = _plain(value, components)
        elif key == "required" and value:
            plain[key] = value
        elif key not in _DROPPED and key not in ("required", "additionalProperties"):
            raise ValueError(f"{key!r} has no place in a structural schema: {schema}")
    return _typed(plain)


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    if isinstance(plain.get("type"), list):
        (plain["type"],) = [name for name in plain["type"] if name != "null"]
    if "enum" in plain:
        plain["enum"] = [value for value in plain["enum"] if value is not None]
        plain.setdefault("type", "string")
    if plain.get("type") == "integer":
        plain["format"] = "int64"
    if "description" in plain:
        plain["description"] = " ".join(plain["description"].split())
    return plain
