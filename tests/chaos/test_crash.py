"""A short crash test in every run of the tests; `make crash` is the long one."""

from pathlib import Path

from tests.chaos.crash import main


def test_two_kills_lose_nothing(tmp_path: Path) -> None:
    assert main(["--kills", "2", "--seconds", "0.4", "--seed", "11", "--keep", str(tmp_path / "crash")]) == 0
