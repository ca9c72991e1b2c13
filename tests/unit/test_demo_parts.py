"""The parts of the demo that decide: what a file holds, what was lost, what is shown."""

import io
from pathlib import Path

import pytest

from rustqueue.demo.crew import Producer, jobs_for
from rustqueue.demo.ledger import Ledger, Outcome, Progress, percentile
from rustqueue.demo.play import DemoFailed, Watch
from rustqueue.demo.screen import Screen, bar, facts_table
from rustqueue.demo.sources import Facts, Totals, list_sources, read_source, total_of

SOURCE = b"import os\n\n\nclass Job:\n    def run(self) -> None: ...\n\n\nasync def main():\n    pass"


class Terminal(io.StringIO):
    """A text stream that says it is a terminal of the encoding UTF-8."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def a_tree(root: Path) -> Path:
    (root / "package").mkdir()
    (root / "package" / "good.py").write_bytes(SOURCE)
    (root / "broken.py").write_bytes(b"def :\n")
    (root / "empty.py").write_bytes(b"")
    (root / "notes.txt").write_bytes(b"no source")
    (root / "site-packages").mkdir()
    (root / "site-packages" / "foreign.py").write_bytes(SOURCE)
    return root


def test_sources_are_all_python_files_but_foreign_ones(tmp_path: Path) -> None:
    root = a_tree(tmp_path)
    assert list_sources(root) == ["broken.py", "empty.py", "package/good.py"]
    assert list_sources(root, 1) == ["broken.py"]


def test_a_file_is_read_hashed_and_parsed(tmp_path: Path) -> None:
    good = read_source(a_tree(tmp_path), "package/good.py")
    assert (good.size_bytes, good.lines, good.functions, good.classes, good.error) == (len(SOURCE), 9, 2, 1, None)
    assert len(good.sha256) == 64


def test_a_file_that_cannot_be_parsed_or_read_is_a_result(tmp_path: Path) -> None:
    root = a_tree(tmp_path)
    broken, missing = read_source(root, "broken.py"), read_source(root, "missing.py")
    assert (broken.lines, broken.functions, broken.error) == (1, 0, "SyntaxError: invalid syntax (<unknown>, line 1)")
    assert missing == Facts("missing.py", error="FileNotFoundError: No such file or directory")


def test_totals_are_the_same_in_any_order_and_in_parts(tmp_path: Path) -> None:
    root = a_tree(tmp_path)
    facts = [read_source(root, name) for name in list_sources(root)]
    whole = total_of(facts)
    assert (whole.files, whole.lines, whole.functions, whole.classes, whole.unparsed) == (3, 10, 2, 1, 1)
    assert total_of(reversed(facts)) == whole
    assert total_of([total_of(facts[:1]), total_of(facts[1:])]) == whole
    assert total_of(facts[:2]).digest != whole.digest
    assert total_of([]) == Totals()


def test_the_ledger_finds_what_was_lost() -> None:
    # Given four acknowledged pushes, three acknowledged completions, one job that ran twice
    ledger = Ledger()
    ledger.note_pushed(["a", "b", "c", "d"], 1_000_000_000)
    ledger.note_run(["a", "b", "c"])
    ledger.note_run(["b"])
    ledger.note_acknowledged(["a"], 1_010_000_000)
    ledger.note_acknowledged(["b", "c"], 3_000_000_000)
    ledger.note_acknowledged(["a"], 4_000_000_000)
    assert ledger.progress() == Progress(4, 3)
    # When the node has forgotten the push of d and the completion of c
    outcome = ledger.compare(existing={"a", "b", "c"}, completed={"a", "b"})
    # Then both are lost
    assert outcome == Outcome(4, 3, lost=2, run_twice=1, seconds=2.0, p50_ms=2_000.0, p99_ms=2_000.0)
    assert outcome.jobs_per_s == 1.5


def test_nothing_is_lost_when_all_is_there() -> None:
    ledger = Ledger()
    ledger.note_pushed(["a"], 0)
    ledger.note_acknowledged(["a"], 5_000_000)
    assert ledger.compare({"a"}, {"a"}) == Outcome(1, 1, lost=0, run_twice=0, seconds=0.005, p50_ms=5.0, p99_ms=5.0)


def test_the_first_failure_is_kept_and_the_end_is_none() -> None:
    failed, ended = Ledger(), Ledger()
    failed.note_failure("first")
    failed.note_failure("second")
    ended.note_end()
    ended.note_failure("a worker that was told to end")
    assert (failed.failure, ended.failure, Ledger().failure) == ("first", "", None)


def test_it_is_over_when_every_job_was_acknowledged_not_when_the_last_one_was() -> None:
    # Given two files and their total, and a worker that has not yet written down the answer to its acknowledgement
    ledger = Ledger()
    producer = Producer("tcp://127.0.0.1:1", [], ledger)
    watch = Watch(ledger)
    ledger.note_pushed(["a", "b"], 0)
    ledger.note_acknowledged(["a", "b"], 0)
    assert watch.is_over(producer) is False
    ledger.note_pushed(["c", "total"], 0)
    producer.total_id = "total"
    # When the total, which waited for all of them, was acknowledged to another worker
    ledger.note_acknowledged(["total"], 0)
    assert watch.is_over(producer) is False
    # Then it is over only with the late one
    ledger.note_acknowledged(["c"], 0)
    assert watch.is_over(producer) is True


def test_it_fails_with_the_client_that_gave_up() -> None:
    ledger = Ledger()
    ledger.note_failure("demo-worker-1 ended: without a word")
    with pytest.raises(DemoFailed, match="demo-worker-1 ended: without a word"):
        Watch(ledger).is_over(Producer("tcp://127.0.0.1:1", [], ledger))


def test_percentiles_are_nearest_ranks() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, 50), percentile(ordered, 99), percentile([7.0], 99), percentile([], 50)] == [
        50,
        99,
        7,
        0,
    ]


def test_more_files_than_parents_are_allowed_make_partial_sums() -> None:
    assert [jobs_for(files) for files in (0, 1, 10_000, 10_001, 25_000)] == [1, 2, 10_001, 10_004, 25_004]


def test_the_bar_shows_acknowledged_pushed_and_missing() -> None:
    assert bar(30, 10, 64, plain=True) == "#####" + "=" * 10 + "." * 17
    assert bar(64, 64, 64, plain=False) == "█" * 32
    assert bar(0, 0, 0, plain=True) == "." * 32


def test_a_terminal_is_drawn_over_and_no_line_wraps() -> None:
    clock = iter([0.0, 0.05, 0.2, 0.3])
    out = Terminal()
    screen = Screen(out, lambda: next(clock))
    screen.draw(10, 5, 100, "x" * 100)
    screen.draw(10, 6, 100, "too soon")
    screen.draw(10, 7, 100, "7 jobs/s")
    screen.say("a line that stays")
    screen.draw(100, 100, 100, "done", last=True)
    text = out.getvalue()
    assert "too soon" not in text
    assert text.count("\n") == 2
    assert all(len(part) <= 79 for line in text.split("\n") for part in line.split("\r"))


def test_a_log_gets_a_line_every_two_seconds() -> None:
    clock = iter([0.0, 1.0, 2.0, 2.1])
    out = io.StringIO()
    screen = Screen(out, lambda: next(clock))
    for acknowledged in range(3):
        screen.draw(3, acknowledged, 3, "")
    screen.draw(3, 3, 3, "", last=True)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["0/3", "2/3", "3/3"]


def test_the_final_table_is_aligned() -> None:
    text = facts_table([("files", "1,790", "all"), ("lost", "0", "")])
    assert text == "  files  1,790  all\n  lost       0"
