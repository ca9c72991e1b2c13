"""Which entries of the log this node refuses instead of applying them: one small file beside the data.

It must not know what is in the entries. Invariants: only `rustqueue recover` writes the file, while the node does not
run; it is replaced whole and durably. All nodes that have such an entry need the same list: one that applies what the
others refuse has another state hash, and is stopped.
"""

import os
from collections.abc import Iterable

import msgspec

from rustqueue.model import limits

FILE = "refused.json"


class RefusedError(Exception):
    """The file cannot be read. The message says what can be done."""


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[int]


def read_refused(folder: str) -> frozenset[int]:
    """Indexes of entries. Raises `RefusedError`: to go on without the list could mean another state than the others."""
    path = f"{folder}/{FILE}"
    try:
        with open(path, "rb") as file:
            return frozenset(msgspec.json.decode(file.read(), type=_Stored).entries)
    except FileNotFoundError:
        return frozenset()
    except (OSError, msgspec.MsgspecError) as error:
        text = f"{path}: cannot be read: {error}. Write it again by: rustqueue recover {folder} --refuse-entry INDEX"
        raise RefusedError(text) from error


def write_refused(folder: str, indexes: Iterable[int]) -> None:
    """Durable when it returns."""
    entries = sorted(indexes)
    if len(entries) > limits.REFUSED_ENTRIES_MAX:
        raise RefusedError(f"{len(entries)} entries are to be refused, the limit is {limits.REFUSED_ENTRIES_MAX}")
    path, half = f"{folder}/{FILE}", f"{folder}/{FILE}.half"
    with open(half, "wb") as file:
        file.write(msgspec.json.encode(_Stored(entries)))
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
