"""The page on the client names every method, and its examples run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustqueue.client import Client, Worker
from rustqueue.client.calls import jobs as job_calls
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "client.md").read_text(encoding="utf-8")
METHODS = PAGE.partition("## All methods")[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports:
        yield ports


def test_every_method_is_there_and_no_other() -> None:
    named = set(re.findall(r"`(\w+)\(", METHODS))
    assert named == {name for name in vars(Client) if not name.startswith("_")}


def test_every_push_option_is_there() -> None:
    named = set(re.findall(r"`(\w+)`", METHODS.partition("Push options:")[2]))
    assert named - {"datetime", "idempotency_key"} == set(job_calls.PushOptions.__annotations__)


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_the_examples_run(node: Ports, place: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = EXAMPLES[place].replace(":6790", f":{node.http}").replace(":6789", f":{node.tcp}")
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(text, f"example {place} of docs/client.md", "exec"), names)
    assert isinstance(names.get("worker"), Worker) or capsys.readouterr().out != ""
