"""RabbitMQ on three nodes of this machine: quorum queues with three copies, clients at the first node.

Queues declared there have their leader there, so clients speak to the leader, as they do with the nodes under test.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import PeerMissing, find_program
from benchmarks.peers.rabbitmq import LIBRARY, RabbitMq, control, environment_of
from benchmarks.processes import Process, StartFailed, accepts, spawn
from benchmarks.servers import Server, Starter
from rustqueue.demo.ports import free_port

NODES = 3


@contextlib.contextmanager
def running(starter: Starter) -> Iterator[RabbitMq]:
    """Three brokers with one name server, all ended by pid."""
    program, names_program = find_program("rabbitmq-server", LIBRARY), find_program("epmd")
    folder, names_port = starter.fresh_folder("rabbitmq-cluster"), free_port()
    ports = [free_port() for _ in range(NODES)]
    started: list[Process] = []
    try:
        _share_a_cookie(folder)
        names = spawn([names_program, "-address", "127.0.0.1", "-port", str(names_port)], folder / "names")
        started.append(names)
        names.wait_until(lambda: accepts(names_port))
        environments = []
        for number, port in enumerate(ports):
            own = folder / f"r{number}"
            own.mkdir()
            # One home, since that is where the brokers look for the secret that they share.
            environment = {**environment_of(own, port, names_port), "HOME": str(folder)}
            environments.append(environment)
            started.append(spawn([program], own, environment))
        for number, (broker, port) in enumerate(zip(started[1:], ports, strict=True)):
            broker.wait_until(lambda port=port: accepts(port))  # type: ignore[misc] # The loop's own port.
            control(folder / f"r{number}", environments[number], "await_startup")
        for number in range(1, NODES):
            own, environment = folder / f"r{number}", environments[number]
            first = environments[0]["RABBITMQ_NODENAME"]
            for words in (["stop_app"], ["join_cluster", first], ["start_app"], ["await_startup"]):
                control(own, environment, *words)
        pids = tuple(process.pid for process in started[1:])
        yield RabbitMq(Server("rabbitmq x3", ports[0], 0, pids), NODES)
    except (StartFailed, subprocess.SubprocessError) as error:
        raise PeerMissing(f"RabbitMQ did not start on three nodes: {error}") from error
    finally:
        for process in reversed(started):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _share_a_cookie(folder: Path) -> None:
    cookie = folder / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(10))
    cookie.chmod(0o400)
