"""Backups of running nodes, restored into new nodes and clusters; a lost majority; an entry that apply cannot take."""

import asyncio
import shutil
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from rustqueue.check import StoreFacts, check_folder
from rustqueue.cli.program import run
from rustqueue.client import Client
from rustqueue.model.cluster.backups import BackupManifest
from rustqueue.model.cluster.replies import ClusterInfo
from rustqueue.model.commands import Command
from rustqueue.model.entry import ENTRY_VERSION, Entry, encode_entry
from rustqueue.model.queries import Health
from rustqueue.model.replies import QueueStats, Refused
from rustqueue.node import NodeError
from rustqueue.node.keeping.unfinished import UNFINISHED
from rustqueue.node.webhooks import KEY_FILE
from rustqueue.raft.ports import Proposal
from rustqueue.raft.records import SEGMENT_HEADER_BYTES, encode_record
from rustqueue.rescue.archive import read_backup, write_backup
from rustqueue.rescue.beginning import Founder, RescueError
from rustqueue.rescue.recover import force_new_cluster, refuse_entry, survey
from rustqueue.rescue.restore import restore
from rustqueue.rescue.shelves import FilePlace
from rustqueue.storage import open_store
from tests.unit.cluster_rig import Rig, cluster
from tests.unit.node_in_thread import node_in_thread, node_settings

SECRET = "canary-9c1d-webhook"
TOKEN = "canary-77e0-static-token"


def facts(folder: Path) -> StoreFacts:
    report = check_folder(folder)
    assert report.problems == []
    assert report.store is not None
    return report.store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """A backup of a single node with everything that a state can hold; a token made there; the node's folder."""
    folder = tmp_path_factory.mktemp("kept")
    settings = node_settings(folder / "data", token=TOKEN)
    with node_in_thread(settings) as ports, Client(ports.url("tcp"), token=TOKEN) as client:
        client.push_batch("mail", [{"name": "greet", "data": number} for number in range(20)])
        client.ack(client.pull("mail", 1)[0])
        client.create_schedule("yearly", "mail", "greet", cron_expr="@yearly")
        client.create_webhook("https://hooks.example/in", name="h", secret=SECRET, events=["queue.paused"])
        token = client.create_token("worker", [{"verbs": ["pull"], "queues": ["mail"]}]).token
        words = ["backup", "create", str(folder / "b.rqb"), "--url", ports.url("http"), "--token", TOKEN]
        assert run(words) == 0
    return folder / "b.rqb", token, folder / "data"


def test_a_restored_node_has_everything_that_was_there(kept: tuple[Path, str, Path], tmp_path: Path) -> None:
    backup, token, old = kept
    # Given a folder with the key that seals secrets, which no backup holds
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(old / KEY_FILE, folder)
    # When the backup is restored there
    assert run(["restore", str(backup), "--data", str(folder)]) == 0
    # Then it is sound, has the state of the backup, and serves it
    assert facts(folder).state_hash == read_backup(backup).state_hash == facts(old).state_hash
    with node_in_thread(node_settings(folder, token=TOKEN)) as ports:
        with Client(ports.url("http"), token=TOKEN) as client:
            assert client.stats("mail").counts.waiting == 19
            assert [schedule.name for schedule in client.list_schedules().schedules] == ["yearly"]
            assert client.get_webhook("h").url == "https://hooks.example/in"
            client.push("mail", "greet", 1)
        with Client(ports.url("tcp"), token=token) as worker:
            assert len(worker.pull("mail", 20)) == 20


def test_no_secret_stands_in_a_backup(kept: tuple[Path, str, Path], tmp_path: Path) -> None:
    backup, token, _ = kept
    tmp_path.joinpath("store").mkdir()
    read_backup(backup, tmp_path / "store")
    # Given what is in the files, and what they mean once the engine has unpacked them
    store = open_store("rocks", str(tmp_path / "store"))
    rows = b"".join(key + value for key, value in store.scan(b"", b"\xff" * 40, 100_000))
    store.close()
    texts = [backup.read_bytes(), rows]
    assert b"hooks.example" in rows
    assert [secret for secret in (SECRET, TOKEN, token, token[-20:]) for text in texts if secret.encode() in text] == []


def test_a_folder_in_use_is_left_alone(
    kept: tuple[Path, str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = kept[0]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("x")
    assert run(["restore", str(backup), "--data", str(tmp_path / "data")]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert run(["restore", str(backup), "--data", str(tmp_path / "data"), "--if-empty"]) == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


def test_a_restore_that_was_cut_off_starts_no_node_and_begins_anew(
    kept: tuple[Path, str, Path], tmp_path: Path
) -> None:
    # Given what a crash leaves: some of it in place, some not
    (tmp_path / UNFINISHED / "store").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "CURRENT").write_text("half")
    with pytest.raises(NodeError, match="was not finished"), node_in_thread(node_settings(tmp_path)):
        pass
    restored = restore(FilePlace(kept[0]), tmp_path, Founder())
    assert facts(tmp_path).state_hash == restored.state_hash


def test_a_newer_feature_level_is_refused_by_its_version(kept: tuple[Path, str, Path], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    manifest = read_backup(kept[0], tmp_path / "store")
    newer = msgspec.structs.replace(manifest, feature_level=99, feature_version="9.1.0")
    path = tmp_path / "newer.rqb"
    rewrite(path, newer, tmp_path / "store")
    with pytest.raises(RescueError, match=r"feature level 99, this program knows 1.*RustQueue 9\.1\.0 or newer"):
        restore(FilePlace(path), tmp_path / "data", Founder())
    assert not (tmp_path / "data").exists()


def rewrite(path: Path, manifest: BackupManifest, store: Path) -> None:
    write_backup(path, manifest, lambda name, offset: (store / name).read_bytes()[offset:])


def test_one_backup_at_a_time_and_only_of_files(tmp_path: Path) -> None:
    with node_in_thread(node_settings(tmp_path)) as ports, Client(ports.url("tcp")) as client:
        first = client.begin_backup()
        with pytest.raises(Exception, match="Another backup"):
            client.begin_backup()
        name = first.manifest.files[0].name
        with pytest.raises(Exception, match="has no file 'none'"):
            client.read_backup(first.id, "none")
        with pytest.raises(Exception, match="behind the file's end"):
            client.read_backup(first.id, name, 10**9)
        with pytest.raises(Exception, match="has no backup"):
            client.read_backup("0" * 32, name)
        client.end_backup(first.id)
        with pytest.raises(Exception, match="has no backup"):
            client.end_backup(first.id)
        assert client.begin_backup().manifest.state_hash == first.manifest.state_hash


# A cluster.


def waiting(reply: Any) -> int:
    assert isinstance(reply, QueueStats), reply
    return reply.counts.waiting


async def backup_of(rig: Rig, name: str, path: Path) -> BackupManifest:
    url = f"tcp://127.0.0.1:{rig.nodes[name].tcp.port}"
    assert await asyncio.to_thread(run, ["backup", "create", str(path), "--url", url]) == 0
    return read_backup(path)


def agree(rig: Rig) -> bool:
    states = [(node.machine.applied_index, node.machine.state_hash) for node in rig.nodes.values()]
    return len(set(states)) == 1


async def all_vote(rig: Rig) -> None:
    """Until every node that runs is a voter with the same state."""

    def voters() -> bool:
        sides = [node.cluster for node in rig.nodes.values()]
        return all(side is not None and len(side._config.voters) == len(rig.nodes) for side in sides)

    await rig.until(lambda: voters() and agree(rig))


async def test_a_backup_under_load_becomes_a_new_cluster_of_three(tmp_path: Path) -> None:
    async with cluster(tmp_path / "old") as rig:
        await rig.led()
        asked = rig.follower()
        acknowledged = 0
        stop = asyncio.Event()

        async def load() -> None:
            nonlocal acknowledged
            while not stop.is_set():
                reply = await rig.ask(asked, "push_batch", queue="q", jobs=[{"name": "n", "data": 1}] * 10)
                assert not isinstance(reply, Refused), reply
                acknowledged += 10

        pushing = asyncio.create_task(load())
        await rig.until(lambda: acknowledged >= 50)
        before = acknowledged
        manifest = await backup_of(rig, asked, tmp_path / "b.rqb")
        stop.set()
        await pushing
        old_id = (await told(rig, asked)).cluster_id
    # When a new cluster begins with it
    new = Rig(tmp_path / "new", 3)
    others = {name: new.addresses[name] for name in ("n1", "n2")}
    restored = restore(
        FilePlace(tmp_path / "b.rqb"), tmp_path / "new" / "n0", Founder("n0", new.addresses["n0"], others)
    )
    assert facts(tmp_path / "new" / "n0").state_hash == manifest.state_hash
    try:
        await new.start("n0", "n1", "n2")
        await all_vote(new)
        # Then all three have what had been acknowledged before the backup was asked for
        found = {name: waiting(await new.ask(name, "stats", queue="q")) for name in new.nodes}
        assert len(set(found.values())) == 1
        assert before <= found["n0"] <= acknowledged
        assert (await told(new, "n1")).cluster_id == restored.cluster_id != old_id
        assert (await told(new, "n2")).feature_level == 1
        assert not isinstance(await new.ask("n2", "push", queue="q", name="n", data=1), Refused)
    finally:
        await asyncio.gather(*(node.stop(2.0) for node in new.nodes.values()))


async def told(rig: Rig, name: str) -> ClusterInfo:
    reply = await rig.ask(name, "cluster_get")
    assert isinstance(reply, ClusterInfo), reply
    return reply


async def test_a_lost_majority_goes_on_with_what_is_left(tmp_path: Path) -> None:
    async with cluster(tmp_path / "lost") as lost:
        for _ in range(5):
            await lost.ask("n0", "push", queue="q", name="n", data=1)
        await lost.until(lambda: agree(lost))
        # The survivor is stopped while it has a majority, since a stop waits for what is on its way.
        assert await lost.nodes.pop("n0").stop(30.0)
    # Given one survivor that says how far it is, and two nodes with empty disks in the places of the lost ones
    rig = Rig(tmp_path / "left", 3)
    folder = tmp_path / "left" / "n0"
    shutil.copytree(tmp_path / "lost" / "n0", folder)
    rig.addresses = lost.addresses
    seen = survey(folder)
    assert (seen.node.partition("#")[0], seen.last_entry_at is not None) == ("n0", True)
    before = facts(folder)
    # When it founds a new cluster
    done = await asyncio.to_thread(force_new_cluster, folder, Founder())
    after = facts(folder)
    assert (after.jobs, after.state_hash) == (before.jobs, before.state_hash)
    assert done.index == seen.last_index + 1
    assert done.invited == {name: rig.addresses[name] for name in ("n1", "n2")}
    try:
        # Then it serves, and the others come back with empty disks
        await rig.start("n0")
        await rig.led()
        assert not isinstance(await rig.ask("n0", "push", queue="q", name="n", data=1), Refused)
        await rig.start("n1", "n2")
        await all_vote(rig)
        assert waiting(await rig.ask("n2", "stats", queue="q")) == 6
    finally:
        await asyncio.gather(*(node.stop(2.0) for node in rig.nodes.values()))


async def test_a_survivor_is_not_changed_without_being_told_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node_in_thread(node_settings(tmp_path)):
        pass
    assert run(["recover", str(tmp_path), "--force-new-cluster"]) == 1
    assert "must never run again" in capsys.readouterr().err
    assert run(["recover", str(tmp_path), "--force-new-cluster", "--i-accept-data-loss"]) == 1
    assert "It needs no majority: start it" in capsys.readouterr().err


# An entry that apply cannot take.


def poison(folder: Path) -> int:
    """Append an entry to the log of a stopped node whose command no program knows; gives its index."""
    last = survey(folder)
    entry = Entry(ENTRY_VERSION, last.last_term, 1_900_000_000_000, bytes(16), [b'{"cmd":"bad"}'])
    index = last.last_index + 1
    segment = sorted((folder / "journal").glob("*.log"))[-1]
    data = segment.read_bytes()
    end = max(SEGMENT_HEADER_BYTES, len(data.rstrip(b"\0")))
    with segment.open("r+b") as file:
        file.seek(end)
        file.write(encode_record(index, last.last_term, index - 1, encode_entry(entry)))
    return index


def test_an_entry_that_apply_cannot_take_is_refused_and_the_node_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node_in_thread(node_settings(tmp_path)) as ports, Client(ports.url("tcp")) as client:
        client.push("mail", "greet", 1)
    index = poison(tmp_path)
    # Given a node that stops there at every start, and says where and what to do
    for _ in range(2):
        with (
            pytest.raises(NodeError, match=rf"entry {index}.*rustqueue recover --refuse-entry {index}"),
            node_in_thread(node_settings(tmp_path)),
        ):
            pass
    # When it is told to refuse that entry
    assert run(["recover", str(tmp_path), "--refuse-entry", str(index)]) == 0
    assert f"refuses entries [{index}]" in capsys.readouterr().out
    # Then it starts, has what was there, and takes more
    with node_in_thread(node_settings(tmp_path)) as ports, Client(ports.url("tcp")) as client:
        client.push("mail", "greet", 2)
        assert client.stats("mail").counts.waiting == 2
    assert facts(tmp_path).jobs == 2
    with pytest.raises(RescueError, match="has been applied here already"):
        refuse_entry(tmp_path, index)
    with pytest.raises(RescueError, match="has no entry 999"):
        refuse_entry(tmp_path, 999)


async def test_an_entry_that_no_member_can_apply_is_refused_by_all(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        leader = await rig.led()
        await rig.ask(leader, "push", queue="q", name="n", data=1)
        await rig.until(lambda: agree(rig))
        # Given a command that came into the log and that no program knows
        node = rig.nodes[leader]
        index = node.journal.last_index + 1
        unknown = cast("Command", Health())
        node.replicator.propose(Proposal(unknown, b'{"cmd":"bad"}', lambda reply: None))
        # Then two of three stop at it, and the third has nobody left to tell it that it is committed
        await rig.until(lambda: sum(one.fault.done() for one in rig.nodes.values()) >= 2)
        faults = [one.fault.result() for one in rig.nodes.values() if one.fault.done()]
        assert [f"--refuse-entry {index}`" in str(fault) for fault in faults] == [True] * len(faults)
        names = list(rig.nodes)
        assert all(await asyncio.gather(*(rig.nodes.pop(name).stop(30.0) for name in names)))
        # When all refuse it
        for name in names:
            assert await asyncio.to_thread(refuse_entry, tmp_path / name, index) == {index}
        await rig.start(*names)
        await rig.led()
        # Then they go on together
        assert not isinstance(await rig.ask("n1", "push", queue="q", name="n", data=1), Refused)
        await rig.until(lambda: agree(rig))
        assert waiting(await rig.ask("n2", "stats", queue="q")) == 2
