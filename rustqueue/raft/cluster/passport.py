"""Who this node is, on its disk: incarnation, cluster, founding members. Written before anybody is told.

It must not know links. Invariants: the file is replaced whole and durably; once it says that the node belongs to a
cluster, the journal of that cluster must be there, or the node does not start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from rustqueue.raft.cluster.config import Config
from rustqueue.raft.journal import JournalError
from rustqueue.raft.ports import Disk

FILE = "member.json"


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    node_id: str
    incarnation: int
    cluster_id: str | None = None
    founders: Config | None = None
    invited: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Passport:
    """`cluster_id` None: it belongs to no cluster yet. `invited` are nodes, with the addresses of their peer ports,
    that this one takes in as soon as they run with empty folders: those of a cluster that begins with one restored
    member.
    """

    node_id: str
    incarnation: int
    cluster_id: bytes | None = None
    founders: Config | None = None
    invited: Mapping[str, str] = field(default_factory=dict)


def read_passport(disk: Disk, folder: str) -> Passport | None:
    """What the folder says, None when it says nothing. Raises `JournalError` for a file that cannot be read."""
    path = f"{folder}/{FILE}"
    try:
        stored = msgspec.json.decode(disk.read(path, 0, disk.size_bytes(path)), type=_Stored)
        cluster_id = None if stored.cluster_id is None else bytes.fromhex(stored.cluster_id)
    except FileNotFoundError:
        return None
    except (ValueError, msgspec.MsgspecError) as error:
        raise JournalError(f"{path}: cannot be read: {error}. Put the file back from a backup.") from error
    return Passport(stored.node_id, stored.incarnation, cluster_id, stored.founders, stored.invited)


def write_passport(disk: Disk, folder: str, passport: Passport) -> None:
    """Durable when it returns."""
    cluster_id = None if passport.cluster_id is None else passport.cluster_id.hex()
    stored = _Stored(passport.node_id, passport.incarnation, cluster_id, passport.founders, dict(passport.invited))
    path, half = f"{folder}/{FILE}", f"{folder}/{FILE}.half"
    if f"{FILE}.half" in disk.list(folder):
        disk.remove(half)
    file = disk.create(half)
    file.write_at(0, msgspec.json.format(msgspec.json.encode(stored)))
    file.sync()
    file.close()
    disk.rename(half, path)
    disk.sync_dir(folder)
