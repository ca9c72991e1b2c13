"""`rustqueue cluster dev`: a cluster of child processes, from its command lines to its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rustqueue.client import Client
from rustqueue.demo.local_cluster import LocalCluster
from rustqueue.demo.ports import free_port
from rustqueue.settings import load_settings


def test_each_node_has_its_own_ports_and_knows_all() -> None:
    cluster = LocalCluster(3, Path("/data"), 6790)

    words = cluster.words(1)

    flags = {flag.removeprefix("--"): value for flag, value in zip(words[4::2], words[5::2], strict=True)}
    settings = load_settings(
        None,
        {},
        {
            "storage.path": flags["data"],
            "server.http_port": flags["http-port"],
            "server.tcp_port": flags["tcp-port"],
            "cluster.enabled": flags["cluster-enabled"],
            "cluster.node_id": flags["cluster-node-id"],
            "cluster.listen": flags["cluster-listen"],
            "cluster.insecure": flags["cluster-insecure"],
            "cluster.peers": flags["cluster-peers"],
        },
    )
    assert (settings.server.http_port, settings.server.tcp_port) == (6890, 6889)
    assert settings.storage.path == "/data/n1"
    assert settings.cluster.first_members == {
        "n0": "127.0.0.1:6800", "n1": "127.0.0.1:6900", "n2": "127.0.0.1:7000",
    }  # fmt: skip


@pytest.mark.slow
def test_a_cluster_to_play_with_serves_and_stops(tmp_path: Path) -> None:
    # Given three nodes on this machine
    port = free_port(*LocalCluster(3, tmp_path, 0).ports[1:])
    words = [sys.executable, "-m", "rustqueue", "cluster", "dev", "--data", str(tmp_path), "--http-port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline() for _ in range(4)]
        # When one is killed and a job is pushed to another one
        pids = [int(line.split()[-1]) for line in lines[:3]]
        os.kill(pids[0], signal.SIGKILL)
        with Client(f"http://127.0.0.1:{port + 100}") as client:
            pushed = client.push("mail", "welcome", {"to": "ada"})
        # Then it is taken, found on the third, and Ctrl-C ends all.
        with Client(f"http://127.0.0.1:{port + 200}") as client:
            found = client.get(pushed)
            assert found is not None
            assert found.name == "welcome"
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
