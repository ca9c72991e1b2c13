"""The cases of the contract against one node and through the followers of a cluster, over both protocols.

`make contract` plays them over the death of all nodes besides, `make contract-original` against the original.
"""

from pathlib import Path

import pytest

from tests.contract.forms import problems

PROTOCOLS = {"http": ("http", "raw"), "tcp": ("tcp",)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", ["node", "follower"])
async def test_every_case_gets_its_answers(form: str, protocol: str, tmp_path: Path) -> None:
    _, wrong = await problems(form, tmp_path, PROTOCOLS[protocol])
    assert "\n".join(wrong) == ""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["node restart", "cluster restart"])
async def test_every_case_gets_its_answers_over_the_death_of_all_nodes(form: str, tmp_path: Path) -> None:
    _, wrong = await problems(form, tmp_path)
    assert "\n".join(wrong) == ""
