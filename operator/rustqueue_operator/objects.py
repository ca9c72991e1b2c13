"""The objects of ours as they were seen last, by key and by what they claim. Filled by a first listing and then by the
watch; a newer version that we got as the answer to our own write is never replaced by an older one.
"""

from typing import Any, Final, TypeVar

import msgspec

from rustqueue.model.mistakes.decoding import api_error
from rustqueue_operator.kinds.table import GROUP, KINDS, KindName
from rustqueue_operator.kube.calls import Key
from rustqueue_operator.planning.values import Desired

S = TypeVar("S", bound=msgspec.Struct)

FINALIZER: Final = f"{GROUP}/cluster"
PAUSED: Final = f"{GROUP}/paused"
KIND_OF: Final[dict[str, KindName]] = {kind.plural: name for name, kind in KINDS.items()}


class InvalidObject(Exception):
    """An object that this version of the operator does not understand; the CRD is of another one."""


def key_of(plural: str, raw: dict[str, Any]) -> Key:
    metadata = raw["metadata"]
    return Key(plural, metadata["namespace"], metadata["name"])


def desired_of(key: Key, raw: dict[str, Any]) -> Desired:
    """Raises `InvalidObject` naming the field."""
    kind = KIND_OF[key.plural]
    metadata = raw["metadata"]
    spec = _converted(raw.get("spec") or {}, KINDS[kind].spec)
    status = _converted(raw.get("status") or {}, KINDS[kind].status)
    return Desired(
        kind=kind,
        namespace=key.namespace,
        name=key.name,
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        spec=spec,
        status=status,
        deleting="deletionTimestamp" in metadata,
        finalizer=FINALIZER in (metadata.get("finalizers") or []),
        paused=(metadata.get("annotations") or {}).get(PAUSED) == "true",
    )


def _converted(value: dict[str, Any], kind: type[S]) -> S:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        # Descriptions of these types are for kubectl explain and no part of a sentence: the decoder's words have to do.
        told = api_error(error).message
        raise InvalidObject(told.removeprefix("Validation error: ")) from error


class Objects:
    """All objects. Many may claim one name; `claimants` has them oldest first."""

    def __init__(self) -> None:
        self._raw: dict[Key, dict[str, Any]] = {}
        self._keys: dict[str, Key] = {}
        self._claims: dict[tuple[str, str], set[Key]] = {}

    def __len__(self) -> int:
        return len(self._raw)

    def every(self) -> list[Key]:
        return list(self._raw)

    def get(self, key: Key) -> dict[str, Any] | None:
        return self._raw.get(key)

    def knows(self, uid: str) -> bool:
        """Whether an owner is an object of ours that is not being deleted."""
        key = self._keys.get(uid)
        return key is not None and "deletionTimestamp" not in self._raw[key]["metadata"]

    def put(self, key: Key, raw: dict[str, Any]) -> bool:
        """Take a version. True: something about it calls for work, not only its status."""
        before = self._raw.get(key)
        if before is not None and before["metadata"]["uid"] == raw["metadata"]["uid"]:
            if _version(raw) <= _version(before):
                return False
        elif before is not None:
            self.remove(key)
            before = None
        self._raw[key] = raw
        self._keys[raw["metadata"]["uid"]] = key
        self._claims.setdefault(_claim(key, raw), set()).add(key)
        return before is None or _asks(raw) != _asks(before)

    def remove(self, key: Key) -> list[Key]:
        """Drop it. Answers who else claimed what it did."""
        raw = self._raw.pop(key, None)
        if raw is None:
            return []
        self._keys.pop(raw["metadata"]["uid"], None)
        claim = _claim(key, raw)
        others = self._claims.get(claim, set())
        others.discard(key)
        if not others:
            self._claims.pop(claim, None)
        return sorted(others)

    def claimants(self, key: Key) -> list[Key]:
        """All that claim the same name, whatever their cluster, oldest first."""
        return sorted(self._claims.get(_claim(key, self._raw[key]), ()), key=lambda other: _age(self._raw[other]))


def _claim(key: Key, raw: dict[str, Any]) -> tuple[str, str]:
    return key.plural, (raw.get("spec") or {}).get("name") or key.name


def _age(raw: dict[str, Any]) -> tuple[str, str]:
    return raw["metadata"]["creationTimestamp"], raw["metadata"]["uid"]


def _version(raw: dict[str, Any]) -> int:
    """Versions of one object are numbers that grow, on every API server that stores in etcd."""
    text = raw["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0


def _asks(raw: dict[str, Any]) -> tuple[Any, ...]:
    metadata = raw["metadata"]
    paused = (metadata.get("annotations") or {}).get(PAUSED)
    return metadata.get("generation"), metadata.get("deletionTimestamp"), paused, metadata.get("finalizers") or []
