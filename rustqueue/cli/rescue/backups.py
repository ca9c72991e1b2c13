"""Making backups and checking them: a bare installation of the client can do both."""

import argparse
from typing import Final

from rustqueue.cli.output import Shown, as_json
from rustqueue.cli.parsing import Failed, UsageError, bounded
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.model.cluster.backups import BackupManifest
from rustqueue.reasons import reason_of
from rustqueue.rescue.archive import BackupDamaged
from rustqueue.rescue.places import PlaceError, place_at, shelf_at
from rustqueue.rescue.shelves import name_of

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
        "rustqueue backup create s3://backups/mail/ --keep 7",
    )
    parser.add_argument("file", metavar="FILE|DIR|s3://BUCKET/PREFIX/")
    # Before it answers, the node reads all of its store once.
    parser.set_defaults(timeout_s=_TIMEOUT_S)
    parser.add_argument("--keep", type=bounded(1, 10_000), metavar="N", help="remove all but the newest N there")
    parser = group.add_local(
        "verify", verify, "check every byte of a backup and show what it holds", "rustqueue backup verify jobs.rqb"
    )
    parser.add_argument("file", metavar="FILE|s3://BUCKET/KEY")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="form of the answer (else text)")


def create(arguments: argparse.Namespace, client: Client) -> Shown:
    try:
        shelf = shelf_at(arguments.file)
        place = place_at(arguments.file) if shelf is None else None
    except PlaceError as error:
        raise UsageError(str(error)) from None
    if shelf is None and arguments.keep is not None:
        raise UsageError("--keep needs a folder to look into")
    begun = client.begin_backup()
    manifest = begun.manifest
    if shelf is not None:
        place = shelf.place(name_of(manifest))
    assert place is not None, "it is a shelf or a place"
    try:
        place.write(manifest, lambda name, offset: client.read_backup(begun.id, name, offset))
        removed = [] if shelf is None or arguments.keep is None else shelf.thin_out(arguments.keep)
    except OSError as error:
        raise Failed(f"{place}: {error.strerror or error}") from None
    except ValueError as error:
        raise Failed(f"{place}: {error}") from None
    finally:
        client.end_backup(begun.id)
    shown = {"ok": True, "file": str(place), "removed": removed, **_as_told(manifest)}
    return Shown(shown, f"{place}\n{_text_of(manifest)}", f"{len(removed)} older backups removed" if removed else "")


def verify(arguments: argparse.Namespace) -> int:
    try:
        manifest = place_at(arguments.file).read()
    except (BackupDamaged, PlaceError, OSError) as error:
        raise Failed(reason_of(error)) from None
    told = {"ok": True, "file": arguments.file, **_as_told(manifest)}
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
