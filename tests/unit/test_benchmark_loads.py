"""What the benchmarks of a cluster ask of servers, where nobody would see in a table that it was something else."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import prototype, verbs
from benchmarks.load import LoadFailed
from benchmarks.processes import StartFailed
from benchmarks.servers import Server, Starter

OK = b'{"ok":true}\n'
IDS = [b"01890a5d-ac96-774b-bcce-b302099a8057", b"01890a5d-ac96-774b-bcce-b302099a8058"]
PULLED = b'{"ok":true,"jobs":[{"id":"%b"},{"id":"%b"}]}\n' % tuple(IDS)
NOTHING = b'{"ok":true,"jobs":[]}\n'

STAND_IN = """
import contextlib, pathlib, socket, sys

folder, number, base = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
folder.mkdir()
server = socket.create_server(("127.0.0.1", base + 10 + number))
if number == 1:
    (folder / "leader").touch()
while True:
    client, _ = server.accept()
    with client, contextlib.suppress(OSError):
        client.sendall(b"%d" % number)
"""


def test_an_acknowledgement_that_is_not_awaited_leaves_with_the_next_push() -> None:
    push, pull, ack = verbs.push_batch_line("q"), verbs.pull_line("q"), verbs.ack_batch_line(IDS)
    script = verbs.end_to_end_unawaited("q", 3)
    asked = [next(script)]
    # The answers of one write may come in pieces, and the script then sends nothing until it has them all.
    asked += [script.send(reply) for reply in (OK, PULLED, OK, OK + OK, NOTHING, OK, PULLED)]
    with pytest.raises(StopIteration) as ended:
        script.send(OK)
    assert asked == [push, pull, ack + push, b"", pull, push, pull, ack]
    assert ended.value.value == 4


def test_an_acknowledgement_that_is_not_awaited_is_looked_at_all_the_same() -> None:
    script = verbs.end_to_end_unawaited("q", 2)
    next(script)
    script.send(OK)
    script.send(PULLED)
    with pytest.raises(LoadFailed, match="refused"):
        script.send(b'{"ok":false,"error":{"code":"OVERLOADED"}}\n' + OK)


def run_prototype(folder: Path, text: str, meanwhile: Callable[[Server], None]) -> Server:
    program = folder / "prototype.py"
    program.write_text(text)
    with prototype.running(Starter(folder, checkout=True), program) as server:
        meanwhile(server)
    return server


def test_clients_speak_to_the_leader_of_a_prototype_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    told = []

    def ask(server: Server) -> None:
        with socket.create_connection(("127.0.0.1", server.tcp_port), 60) as connection:
            told.append(connection.recv(1))

    server = run_prototype(tmp_path, STAND_IN, ask)
    assert (told, server.name, len(server.pids)) == ([b"1"], "prototype", 3)
    for pid in server.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "prototype.py"]


def test_a_prototype_that_does_not_start_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="exit status 3: no disk"):
        run_prototype(tmp_path, "import sys; print('no disk', flush=True); sys.exit(3)", lambda server: None)


def test_figures_of_a_prototype_that_changed_its_leader_are_refused(tmp_path: Path) -> None:
    def change_leader(server: Server) -> None:
        (found,) = tmp_path.glob("prototype-*")
        (found / "d2" / "leader").touch()

    with pytest.raises(LoadFailed, match="leader changed"):
        run_prototype(tmp_path, STAND_IN, change_leader)
