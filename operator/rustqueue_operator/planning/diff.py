"""Which fields differ between two settings, by path; and a digest of what was applied."""

import hashlib
from typing import Any

import msgspec


def differing(wanted: dict[str, Any], present: dict[str, Any], unmanaged: frozenset[str] = frozenset()) -> list[str]:
    """Paths in order. A key of `unmanaged` counts only where it is wanted."""
    paths: list[str] = []
    for key in sorted({*wanted, *present}):
        if key in unmanaged and key not in wanted:
            continue
        ours, theirs = wanted.get(key), present.get(key)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            paths += [f"{key}.{path}" for path in differing(ours, theirs)]
        else:
            paths.append(key)
    return paths


def digest(body: dict[str, Any], secret_digest: str | None) -> str:
    """The same for equal settings whatever the order of their keys. Secrets are in it only as a digest of versions."""
    text = msgspec.json.encode({"body": body, "secrets": secret_digest}, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]
