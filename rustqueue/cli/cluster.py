"""Commands about the cluster: who belongs to it, and changes of that."""

import argparse
import sys
from pathlib import Path

from rustqueue.cli.node import missing_extra
from rustqueue.cli.output import Shown, table
from rustqueue.cli.parsing import bounded, host_port
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.cluster import Cluster


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.group(
        "cluster",
        "show and change who belongs to the cluster",
        "rustqueue cluster status",
        "rustqueue cluster add n3 10.0.0.4:6800",
        "rustqueue cluster replace n1      # n1 runs again, with an empty disk",
    )
    group.add("status", status, "show members, leader and lags", "rustqueue cluster status --output json")
    parser = group.add(
        "add",
        add_member,
        "take in a node that runs with [cluster] join",
        "rustqueue cluster add n3 10.0.0.4:6800",
    )
    parser.add_argument("id", metavar="NODE")
    parser.add_argument(
        "address", type=host_port, metavar="HOST:PORT", help="where its peer port answers: its `advertise`"
    )
    parser = group.add("remove", remove_member, "let a member go", "rustqueue cluster remove n3")
    parser.add_argument("id", metavar="MEMBER")
    parser = group.add(
        "replace",
        replace_member,
        "give the place of a node that lost its disk to what runs under its id now",
        "rustqueue cluster replace n1",
        "rustqueue cluster replace n1 --address 10.0.0.9:6800",
    )
    parser.add_argument("id", metavar="NODE")
    parser.add_argument("--address", type=host_port, metavar="HOST:PORT", help="where it is now, else where it was")
    parser = group.add(
        "transfer",
        transfer,
        "let another member lead",
        "rustqueue cluster transfer",
        "rustqueue cluster transfer --to n2",
    )
    parser.add_argument("--to", metavar="MEMBER", help="who shall lead, else whoever has the longest log")
    parser = group.add_local(
        "dev",
        dev,
        "run a cluster on this machine to play with, until Ctrl-C",
        "rustqueue cluster dev",
        "rustqueue cluster dev --nodes 5 --data /tmp/five --http-port 7790",
    )
    parser.add_argument("--nodes", type=bounded(1, 9), default=3, metavar="N", help="else 3")
    parser.add_argument("--data", type=Path, default=Path("cluster-data"), metavar="DIR", help="else ./cluster-data")
    parser.add_argument(
        "--http-port", type=bounded(1_024, 64_000), default=6790, metavar="PORT", dest="first_port",
        help="of the first node, else 6790; node i adds 100 times i to every port",
    )  # fmt: skip


def dev(arguments: argparse.Namespace) -> int:
    try:
        # The nodes are children; asking here gives one clear line instead of their logs.
        import rustqueue.node  # noqa: F401
    except ModuleNotFoundError as error:
        return missing_extra(error)
    from rustqueue.demo.local_cluster import LocalCluster, run

    return run(LocalCluster(arguments.nodes, arguments.data.absolute(), arguments.first_port), sys.stdout)


def status(arguments: argparse.Namespace, client: Client) -> Shown:
    return _shown(client.cluster())


def add_member(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.add_member(arguments.id, arguments.address)
    return _shown(told, f"{arguments.id} is a learner; it votes as soon as it has caught up")


def remove_member(arguments: argparse.Namespace, client: Client) -> Shown:
    return _shown(client.remove_member(arguments.id), f"{arguments.id} is no member any more")


def replace_member(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.replace_member(arguments.id, arguments.address)
    return _shown(told, f"{arguments.id} is a learner; it votes as soon as it has caught up")


def transfer(arguments: argparse.Namespace, client: Client) -> Shown:
    told = client.transfer_leadership(arguments.to)
    return _shown(told, f"{told.leader} leads")


def _shown(told: Cluster, note: str = "") -> Shown:
    headings = ["Member", "Address", "Role", "Votes", "Holds", "Applied", "Lag ms", "Version", "Level"]
    rows = [
        (
            member.id,
            member.address or "-",
            member.role,
            "yes" if member.voter else "no",
            member.match_index,
            "-" if member.applied_index is None else member.applied_index,
            member.lag_ms,
            member.version or "not heard",
            "-" if member.feature_level is None else member.feature_level,
        )
        for member in told.members
    ]
    level = f"feature level {told.feature_level}"
    head = f"cluster {told.cluster_id}, term {told.term}, leader {told.leader or 'none'}, {level}"
    return Shown({"ok": True, **_as_told(told)}, f"{head}\n{table(headings, rows)}", note)


def _as_told(told: Cluster) -> dict[str, object]:
    return {name: getattr(told, name) for name in told.__struct_fields__}
