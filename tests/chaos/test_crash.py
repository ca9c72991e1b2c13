"""A short crash test in every run of the tests; `make crash` is the long one."""

from pathlib import Path

from tests.chaos.crash import main
from tests.chaos.nodes import Node


def test_two_kills_lose_nothing(tmp_path: Path) -> None:
    assert main(["--kills", "2", "--seconds", "0.4", "--seed", "11", "--keep", str(tmp_path / "crash")]) == 0


def test_a_node_that_is_told_to_stop_while_it_starts_ends_well(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.launch()
    node.stop()
    node.launch()
    node.kill_while_stopping(0.0)
