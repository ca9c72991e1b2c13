"""`rustqueue restore FILE --data DIR`: the data folder of a new cluster out of a backup.

It must not know how backups are made. Invariants: a folder that holds anything is left alone; what was restored has the
state hash that the backup tells; the folder is a node's only when all of it is durable, and until then it holds a mark
that no node starts on and that a second restore begins anew from.
"""

import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

from rustqueue.machine.machine import Machine
from rustqueue.model.cluster.features import FEATURE_LEVEL
from rustqueue.node import JOURNAL_FOLDER, STORE_FOLDER
from rustqueue.node.keeping.unfinished import UNFINISHED
from rustqueue.node.webhooks import KEY_FILE
from rustqueue.raft.cluster.passport import FILE as PASSPORT
from rustqueue.raft.real import OsDisk
from rustqueue.rescue.beginning import Founder, RescueError, change_state, write_folder
from rustqueue.rescue.shelves import Place
from rustqueue.storage import open_store

_MAY_BE_THERE: Final = frozenset({"lost+found", KEY_FILE})
"""What file systems put there, and the key that opens the secrets in the state, which no backup holds."""


class Restored(Struct, frozen=True):
    """A folder that a node can start on."""

    folder: str
    cluster_id: str
    member: str
    index: int
    term: int
    state_hash: str
    taken_at: str


def restore(backup: Place, folder: Path, founder: Founder) -> Restored:
    """Raises `RescueError`, `BackupDamaged`, `StorageError`, `OSError`."""
    _refuse_used(folder)
    manifest = backup.read()
    if manifest.feature_level > FEATURE_LEVEL:
        raise RescueError(
            f"{backup}: has feature level {manifest.feature_level}, this program knows {FEATURE_LEVEL}: restore it "
            f"with RustQueue {manifest.feature_version} or newer"
        )
    disk = OsDisk()
    work = folder / UNFINISHED
    _begin_anew(folder, work)
    (work / STORE_FOLDER).mkdir(parents=True)
    disk.sync_dir(str(folder))
    backup.read(work / STORE_FOLDER)
    store = open_store("rocks", str(work / STORE_FOLDER))
    try:
        machine = Machine(store)
        found = (machine.applied_index, machine.state_hash.hex())
        if found != (manifest.index, manifest.state_hash):
            raise RescueError(
                f"{backup}: the state is {found[1]} at entry {found[0]}, the list of contents says "
                f"{manifest.state_hash} at {manifest.index}: keep both for a report, and use another backup"
            )
        term = max(manifest.term, 1)
        passport = change_state(machine, founder, term)
        index = machine.applied_index
        store.flush()
    finally:
        store.close()
    begun = write_folder(str(work), str(work / JOURNAL_FOLDER), passport, index, term)
    for name in (STORE_FOLDER, JOURNAL_FOLDER, PASSPORT):
        if (work / name).exists():
            (work / name).rename(folder / name)
    disk.sync_dir(str(folder))
    work.rmdir()
    disk.sync_dir(str(folder))
    return Restored(
        str(folder), begun.cluster_id, begun.member, index, term, manifest.state_hash, manifest.taken_at
    )  # fmt: skip


def is_used(folder: Path) -> bool:
    """Whether anything but a restore that was not finished is in the folder."""
    if not folder.exists() or (folder / UNFINISHED).exists():
        return False
    return any(path.name not in _MAY_BE_THERE for path in folder.iterdir())


def _refuse_used(folder: Path) -> None:
    if is_used(folder):
        raise RescueError(f"{folder}: is not empty. A backup is restored into a new folder; nothing was changed.")


def _begin_anew(folder: Path, work: Path) -> None:
    """What a restore left that was not finished goes; nothing else can be there."""
    if work.exists():
        for path in (folder / STORE_FOLDER, folder / JOURNAL_FOLDER, work):
            if path.exists():
                shutil.rmtree(path)
        (folder / PASSPORT).unlink(missing_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
