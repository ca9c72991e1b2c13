"""Commands about data that no node runs on: restore, recover. What opens a store needs the server's extra."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from rustqueue.cli.node import missing_extra
from rustqueue.cli.output import as_json
from rustqueue.cli.parsing import EXIT_FAILED, Failed, UsageError, bounded
from rustqueue.cli.table import Commands
from rustqueue.reasons import reason_of
from rustqueue.rescue.archive import BackupDamaged
from rustqueue.rescue.places import PlaceError, place_at


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    _declare_restore(commands)
    _declare_recover(commands)


def _declare_restore(commands: Commands) -> None:
    parser = commands.add_local(
        "restore",
        restore,
        "make the data folder of a new node, or of the first node of a new cluster, out of a backup",
        "rustqueue restore jobs.rqb --data ./data",
        "rustqueue restore jobs.rqb --data ./n0 --node-id n0 --peers n0=a:6800,n1=b:6800,n2=c:6800",
        "rustqueue restore s3://backups/mail/jobs.rqb --data ./data",
    )
    parser.add_argument("file", metavar="FILE|s3://BUCKET/KEY")
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="an empty or new folder")
    _declare_founder(parser)
    parser.add_argument(
        "--if-empty", action="store_true", help="succeed and do nothing when the folder holds something already"
    )


def _declare_recover(commands: Commands) -> None:
    parser = commands.add_local(
        "recover",
        recover,
        "show how far the log of a stopped node goes; let it found a new cluster; refuse an entry",
        "rustqueue recover ./data",
        "rustqueue recover ./data --refuse-entry 4711",
        "rustqueue recover ./data --force-new-cluster --i-accept-data-loss",
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument(
        "--refuse-entry", type=bounded(1, 2**62), metavar="INDEX", help="refuse the commands of this log entry"
    )
    parser.add_argument(
        "--force-new-cluster", action="store_true", help="this node becomes the only member of a new cluster"
    )
    parser.add_argument(
        "--i-accept-data-loss", action="store_true", help="what only the lost nodes knew is gone for good"
    )
    _declare_founder(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="form of the answer (else text)")


def _declare_founder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--node-id", default="", metavar="NODE", help="its [cluster] node_id; else a node alone")
    parser.add_argument("--advertise", default="", metavar="HOST:PORT", help="of its peer port, if not in --peers")
    parser.add_argument(
        "--peers",
        default="",
        metavar="NODE=HOST:PORT,...",
        help="the other nodes, which are taken in as soon as they run with empty folders",
    )


def restore(arguments: argparse.Namespace) -> int:
    try:
        from rustqueue.rescue.beginning import Founder, RescueError
        from rustqueue.rescue.restore import is_used
        from rustqueue.rescue.restore import restore as restored
        from rustqueue.storage import StorageError
    except ModuleNotFoundError as error:
        return missing_extra(error)
    if arguments.if_empty and is_used(arguments.data):
        print(f"{arguments.data} holds something already: nothing was restored")
        return 0
    node, address, others = _founder(arguments)
    try:
        done = restored(place_at(arguments.file), arguments.data, Founder(node, address, others))
    except (BackupDamaged, PlaceError, RescueError, StorageError, OSError) as error:
        raise Failed(reason_of(error)) from None
    print(f"{done.folder} holds the state of {done.taken_at}, hash {done.state_hash}")
    print(f"cluster {done.cluster_id}, member {done.member}, entry {done.index} of term {done.term}")
    return 0


def _founder(arguments: argparse.Namespace) -> tuple[str, str, Mapping[str, str]]:
    """Node, its address, and the others."""
    peers: dict[str, str] = {}
    for pair in filter(None, arguments.peers.split(",")):
        node, _, address = pair.partition("=")
        host, _, port = address.rpartition(":")
        if not node or not host or not port.isdecimal():
            raise UsageError(f"--peers: {pair!r} is not NODE=HOST:PORT")
        peers[node] = address
    own: str = arguments.node_id
    if peers and not own:
        raise UsageError("--peers needs --node-id, which of them this node is")
    address = arguments.advertise or peers.get(own, "")
    if own and not address and getattr(arguments, "data", None) is not None:
        raise UsageError("the node's address is missing: put it into --peers, or give --advertise")
    return own, address, {node: where for node, where in peers.items() if node != own}


def recover(arguments: argparse.Namespace) -> int:
    try:
        from rustqueue.model.cluster.features import ProgramTooOld
        from rustqueue.node.keeping.refused import RefusedError
        from rustqueue.raft.journal import JournalError
        from rustqueue.rescue.beginning import Founder, RescueError
        from rustqueue.rescue.recover import force_new_cluster, refuse_entry, survey
        from rustqueue.storage import StorageError
    except ModuleNotFoundError as error:
        return missing_extra(error)
    try:
        if arguments.refuse_entry is not None:
            refused = sorted(refuse_entry(arguments.folder, arguments.refuse_entry))
            print(f"{arguments.folder} refuses entries {refused}. Give every node that has them the same list.")
            return 0
        told = survey(arguments.folder)
        _show(arguments, told)
        if not arguments.force_new_cluster:
            return 0
        if not arguments.i_accept_data_loss:
            print(_LOSS.format(index=told.last_index), file=sys.stderr)
            return EXIT_FAILED
        done = force_new_cluster(arguments.folder, Founder(*_founder(arguments)))
    except (RescueError, JournalError, StorageError, ProgramTooOld, RefusedError, OSError) as error:
        raise Failed(reason_of(error)) from None
    print(f"{done.folder} is the only member, {done.member}, of the new cluster {done.cluster_id}")
    print(f"state {done.state_hash}, entry {done.index} of term {done.term}")
    if done.invited:
        print(f"taken in as soon as they run with empty folders: {', '.join(sorted(done.invited))}")
    return 0


_LOSS = """\
Nothing was changed. With --i-accept-data-loss this node founds a new cluster with what its log holds, entry {index} and
all before it. Lost is what the old cluster acknowledged behind that entry, which only nodes with a longer log know:
run this command without flags on every node that is left, and take the one with the highest last term, then index.
The nodes of the old cluster must never run again on their old folders: wipe them before they are started."""


def _show(arguments: argparse.Namespace, told: object) -> None:
    from rustqueue.rescue.recover import Survey

    assert isinstance(told, Survey), "a survey is shown"
    if arguments.output == "json":
        print(as_json(told))
        return
    print(f"node {told.node} of cluster {told.cluster_id}")
    print(
        f"its log ends with entry {told.last_index} of term {told.last_term}, of {told.last_entry_at or 'unknown time'}"
    )
    if told.refused:
        print(f"it refuses entries {told.refused}")
