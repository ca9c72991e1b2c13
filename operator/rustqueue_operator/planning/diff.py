"""Which fields differ between two settings, by path; and a digest of what was applied."""

import hashlib
from typing import Any, Final

import msgspec

# Pausing is left to people unless the object speaks of it.
_LEFT_TO_PEOPLE: Final = frozenset({"mode", "paused", "suspended"})


def differing(wanted: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Paths in order."""
    return _differing(wanted, {key: value for key, value in present.items() if _counts(key, wanted)})


def _counts(key: str, wanted: dict[str, Any]) -> bool:
    return key in wanted or key not in _LEFT_TO_PEOPLE


def _differing(wanted: dict[str, Any], present: dict[str, Any]) -> list[str]:
    paths: list[str] = []
    for key in sorted({*wanted, *present}):
        ours, theirs = wanted.get(key), present.get(key)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            paths += [f"{key}.{path}" for path in _differing(ours, theirs)]
        else:
            paths.append(key)
    return paths


def digest(body: dict[str, Any], secret_digest: str | None) -> str:
    """The same for equal settings whatever the order of their keys. Secrets are in it only as a digest of versions."""
    text = msgspec.json.encode({"body": body, "secrets": secret_digest}, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]
