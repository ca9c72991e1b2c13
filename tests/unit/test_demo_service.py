"""The demo's one address for several nodes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from rustqueue.demo.ports import free_port
from rustqueue.demo.service import Service


@contextmanager
def running(ports: list[int]) -> Iterator[Service]:
    service = Service(ports)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def test_bytes_go_both_ways_and_the_end_is_passed_on() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as node,
        running([node.getsockname()[1]]) as service,
        socket.create_connection(("127.0.0.1", service.port), 10) as client,
    ):
        taken, _ = node.accept()
        client.sendall(b"asked")
        assert taken.recv(5) == b"asked"
        taken.sendall(b"told")
        taken.close()
        assert (client.recv(4), client.recv(1)) == (b"told", b"")


def test_connections_go_to_a_node_that_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as node, running([free_port(), node.getsockname()[1]]) as service:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", service.port), 10) as client:
                taken, _ = node.accept()
                taken.sendall(b"x")
                assert client.recv(1) == b"x"
                taken.close()


def test_without_any_node_a_connection_ends() -> None:
    with running([free_port()]) as service, socket.create_connection(("127.0.0.1", service.port), 10) as client:
        assert client.recv(1) == b""
