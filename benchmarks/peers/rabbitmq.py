"""RabbitMQ: one node, one quorum queue, persistent messages, publisher confirms, consumer acknowledgements.

It streams: the consumer has a credit of two batches and acknowledges many at once, so its pull pays no round trip.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.load import Done, Prepare
from benchmarks.peers import PeerMissing, find_program
from benchmarks.peers.amqp import Amqp
from benchmarks.processes import Process, StartFailed, accepts, spawn
from benchmarks.servers import Server, Starter
from benchmarks.systems import Receiver, Sender
from benchmarks.verbs import BATCH, PAYLOAD_BYTES
from rustqueue.demo.ports import free_port

LIBRARY = Path("/usr/lib/rabbitmq/bin")
EMPTY_AFTER_S = 0.3


class _Sender:
    def __init__(self, port: int, queue: str) -> None:
        self._client, self._queue = Amqp(port), queue
        self._client.confirm()

    def send(self, payload: bytes) -> None:
        self._client.publish(self._queue, [payload])


class _Receiver:
    def __init__(self, port: int, queue: str) -> None:
        self._client, self._tag = Amqp(port), 0
        self._client.consume(queue, 2 * BATCH)

    def take(self) -> bytes:
        for tag, body in self._client.take(1, 5.0):
            self._tag = tag
            return body
        return b""

    def acknowledge(self) -> None:
        self._client.acknowledge_up_to(self._tag)


class RabbitMq:
    """A running broker, or several that keep so many copies of each queue."""

    def __init__(self, server: Server, copies: int = 1) -> None:
        self.server = server
        self._copies = copies

    def declare(self, queue: str) -> None:
        client = Amqp(self.server.tcp_port)
        client.declare(queue, {"x-queue-type": "quorum", "x-quorum-initial-group-size": self._copies})
        client.close()

    def push(self, queue: str, batches: int) -> Prepare:
        def prepare() -> Callable[[], Done]:
            client = Amqp(self.server.tcp_port)
            client.confirm()

            def work() -> Done:
                for _ in range(batches):
                    client.publish(queue, [PAYLOAD_BYTES] * BATCH)
                return Done(batches * BATCH, time.monotonic_ns())

            return work

        return prepare

    def pull_and_ack(self, queue: str, jobs: int) -> Prepare:
        """Takes until the queue stays empty: the broker, not the consumer, decides who gets how many of the jobs."""

        def prepare() -> Callable[[], Done]:
            client = Amqp(self.server.tcp_port)

            def work() -> Done:
                moved, last_ns = 0, time.monotonic_ns()
                client.consume(queue, 2 * BATCH)
                while taken := client.take(BATCH, EMPTY_AFTER_S):
                    client.acknowledge_up_to(taken[-1][0])
                    moved, last_ns = moved + len(taken), time.monotonic_ns()
                return Done(moved, last_ns)

            return work

        return prepare

    def end_to_end(self, queue: str, batches: int) -> Prepare:
        def prepare() -> Callable[[], Done]:
            client = Amqp(self.server.tcp_port)
            client.confirm()
            client.consume(queue, 2 * BATCH)

            def work() -> Done:
                moved = 0
                for _ in range(batches):
                    client.publish(queue, [PAYLOAD_BYTES] * BATCH)
                    if taken := client.take(BATCH, EMPTY_AFTER_S):
                        client.acknowledge_up_to(taken[-1][0])
                        moved += len(taken)
                return Done(moved, time.monotonic_ns())

            return work

        return prepare

    def sender(self, queue: str) -> Sender:
        return _Sender(self.server.tcp_port, queue)

    def receiver(self, queue: str) -> Receiver:
        return _Receiver(self.server.tcp_port, queue)


def environment_of(folder: Path, port: int, names_port: int) -> dict[str, str]:
    """Everything the broker would keep elsewhere or listen on elsewhere goes to this folder and to loopback."""
    (folder / "plugins").write_text("[].\n")
    nowhere = str(folder / "none")
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": nowhere,
        "RABBITMQ_ADVANCED_CONFIG_FILE": nowhere,
        "RABBITMQ_CONF_ENV_FILE": nowhere,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def control(folder: Path, environment: dict[str, str], *words: str) -> None:
    program = find_program("rabbitmqctl", LIBRARY)
    command = [str(program), "-n", environment["RABBITMQ_NODENAME"], *words]
    with (folder / "control.log").open("ab") as sink:
        subprocess.run(command, env={**os.environ, **environment}, stdout=sink, stderr=sink, timeout=120, check=True)


@contextlib.contextmanager
def running(starter: Starter) -> Iterator[RabbitMq]:
    """One broker with its name server, both ended by pid."""
    program, names_program = find_program("rabbitmq-server", LIBRARY), find_program("epmd")
    folder, port, names_port = starter.fresh_folder("rabbitmq"), free_port(), free_port()
    environment = environment_of(folder, port, names_port)
    started: list[Process] = []
    try:
        # Started here rather than by the broker, which would leave it running.
        names = spawn([names_program, "-address", "127.0.0.1", "-port", str(names_port)], folder / "names")
        started.append(names)
        names.wait_until(lambda: accepts(names_port))
        broker = spawn([program], folder, environment)
        started.append(broker)
        broker.wait_until(lambda: accepts(port))
        control(folder, environment, "await_startup")
        yield RabbitMq(Server("rabbitmq", port, 0, (broker.pid,)))
    except (StartFailed, subprocess.SubprocessError) as error:
        raise PeerMissing(f"RabbitMQ did not start: {error}") from error
    finally:
        for process in reversed(started):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)
