"""Making backups and checking them: a bare installation of the client can do both."""

import argparse
from pathlib import Path
from typing import Final

from rustqueue.cli.output import Shown, as_json
from rustqueue.cli.parsing import Failed, UsageError, bounded
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.model.cluster.backups import BackupManifest
from rustqueue.reasons import reason_of
from rustqueue.rescue.archive import BackupDamaged, read_backup, write_backup

_TIMEOUT_S: Final = 600.0


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.group(
        "backup",
        "make and check backups",
        "rustqueue backup create jobs.rqb",
        "rustqueue backup verify jobs.rqb",
    )
    parser = group.add(
        "create",
        create,
        "write the present state of a running node into one file",
        "rustqueue backup create jobs.rqb",
        "rustqueue backup create /backups/          # the name tells time and entry",
        "rustqueue backup create /backups/ --keep 7 # and only the last seven of them stay",
    )
    parser.add_argument("file", metavar="FILE|DIR")
    # Before it answers, the node reads all of its store once.
    parser.set_defaults(timeout_s=_TIMEOUT_S)
    parser.add_argument("--keep", type=bounded(1, 10_000), metavar="N", help="remove all but the newest N of DIR")
    parser = group.add_local(
        "verify", verify, "check every byte of a backup and show what it holds", "rustqueue backup verify jobs.rqb"
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="form of the answer (else text)")


def create(arguments: argparse.Namespace, client: Client) -> Shown:
    target = Path(arguments.file)
    folder = target if target.is_dir() else None
    if folder is None and arguments.file.endswith("/"):
        raise UsageError(f"there is no folder {arguments.file}: make it first")
    if folder is None and arguments.keep is not None:
        raise UsageError("--keep needs a folder to look into")
    begun = client.begin_backup()
    manifest = begun.manifest
    path = target if folder is None else folder / _name_of(manifest)
    try:
        write_backup(path, manifest, lambda name, offset: client.read_backup(begun.id, name, offset))
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise Failed(f"{path}: {error}") from None
    finally:
        client.end_backup(begun.id)
    removed = [] if folder is None or arguments.keep is None else _thin_out(folder, arguments.keep)
    shown = {"ok": True, "file": str(path), "removed": [str(old) for old in removed], **_as_told(manifest)}
    return Shown(shown, f"{path}\n{_text_of(manifest)}", f"{len(removed)} older backups removed" if removed else "")


def _name_of(manifest: BackupManifest) -> str:
    """Names of one cluster sort by age."""
    at = manifest.taken_at[:19].replace("-", "").replace(":", "")
    return f"rustqueue-{at}Z-{manifest.index:012}.rqb"


def _thin_out(folder: Path, keep: int) -> list[Path]:
    old = sorted(folder.glob("rustqueue-*Z-*.rqb"))[:-keep]
    for path in old:
        path.unlink()
    return old


def verify(arguments: argparse.Namespace) -> int:
    try:
        manifest = read_backup(arguments.file)
    except (BackupDamaged, OSError) as error:
        raise Failed(reason_of(error)) from None
    told = {"ok": True, "file": str(arguments.file), **_as_told(manifest)}
    print(as_json(told) if arguments.output == "json" else f"{arguments.file} is whole\n{_text_of(manifest)}")
    return 0


def _as_told(manifest: BackupManifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in manifest.__struct_fields__}


def _text_of(manifest: BackupManifest) -> str:
    return (
        f"state of {manifest.taken_at}, entry {manifest.index} of term {manifest.term}, hash {manifest.state_hash}\n"
        f"made by {manifest.node} of cluster {manifest.cluster_id}, RustQueue {manifest.version}, feature level "
        f"{manifest.feature_level}\n{len(manifest.files)} files, {manifest.size_bytes:,} bytes"
    )
