"""The demo itself, shortened: a real node is killed, nothing is lost."""

import io
import re

import pytest

from rustqueue.demo.play import Plan, play


def test_the_demo_loses_nothing_and_ends_with_the_table() -> None:
    out = io.StringIO()
    code = play(Plan(workers=2, limit=60), out)
    text = out.getvalue()
    rows = dict(re.findall(r"^  (files|lost|jobs acknowledged) +([0-9,]+)", text, re.MULTILINE))
    assert (code, rows) == (0, {"files": "60", "lost": "0", "jobs acknowledged": "61"}), text
    assert "SIGKILL to node" in text
    assert "The totals equal those of the plain loop" in text
    assert max(len(line) for line in text.splitlines()) <= 110


@pytest.mark.slow
def test_the_demo_of_a_cluster_kills_the_leader_and_loses_nothing() -> None:
    out = io.StringIO()
    code = play(Plan(nodes=3, workers=2, limit=60), out)
    text = out.getvalue()
    rows = dict(re.findall(r"^  (files|lost|jobs acknowledged) +([0-9,]+)", text, re.MULTILINE))
    assert (code, rows) == (0, {"files": "60", "lost": "0", "jobs acknowledged": "61"}), text
    killed, next_leader = re.findall(r"SIGKILL to (n[0-2]), the leader|(n[0-2]) leads: the next push", text)
    assert killed[0] != next_leader[1]
