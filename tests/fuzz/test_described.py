"""A slice of `make fuzz`: requests generated from the description of the API, over both protocols."""

from pathlib import Path

import pytest

from tests.fuzz.described import a_node, report, run


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "tcp", "jobs"])
def test_every_answer_is_one_that_is_described(protocol: str, tmp_path: Path) -> None:
    with a_node(tmp_path) as ports:
        findings = run(ports, protocol, cases=4_000, seed=1)
    assert findings.tally["cases"] >= 4_000
    assert findings.problems == {}, "\n".join(report(findings))
