"""The command lines of the original, typed to our program. `make contract-original` types them to the original's."""

from collections.abc import Sequence

import pytest

from rustqueue.cli.program import run
from tests.contract import commands
from tests.unit.node_in_thread import Ports
from tests.unit.test_cli_commands import Shell, ports, queue, shell  # noqa: F401 - fixtures


def test_the_command_lines_of_the_original_are_understood(
    ports: Ports,  # noqa: F811 - a fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    def typed(words: Sequence[str]) -> tuple[int, str]:
        code = run(list(words))
        return code, capsys.readouterr().out

    assert commands.problems(typed, "original", ports.http) == []


def test_a_schedule_has_one_name(shell: Shell, queue: str) -> None:  # noqa: F811 - fixtures
    words = ("--queue", queue, "--job-name", "n", "--every-ms", "3600000")
    complaint = "rustqueue: give the name of the schedule, as the argument or as --name\n"
    assert shell("schedules", "create", *words) == (2, "", complaint)
    assert shell("schedules", "create", "s", "--name", "s", *words) == (2, "", complaint)
    made = shell.json("schedules", "create", "--name", queue, *words)
    assert isinstance(made, dict)
    assert (made["schedule"]["name"], made["schedule"]["job_data"]) == (queue, {})
