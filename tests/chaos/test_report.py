"""`rustqueue check HISTORY` as somebody meets it who has only the file."""

import json
from pathlib import Path

import pytest

from rustqueue.cli.program import run as main
from rustqueue.history.figures import CallFigures, FaultFigures, JobFigures
from rustqueue.history.lines import Broken, Call, CountsLine, EndLine, Event, JobLine, Line, encode_line
from rustqueue.history.report import HistoryError, check_history, table_of
from tests.chaos.test_verdict import World, a_history


def lines_of(world: World) -> list[Line]:
    return [*world.calls, *world.snapshot().lines(), EndLine()]


def written(path: Path, lines: list[Line]) -> Path:
    path.write_bytes(b"".join(map(encode_line, lines)))
    return path


def a_push(start_ms: int, end_ms: int, *, ok: bool | None = True, code: str = "NO_LEADER") -> Call:
    op = f"{start_ms}"
    reply = {"ok": True, "id": op} if ok else {"ok": False, "error": {"code": code}}
    request = {"cmd": "push", "queue": "q", "name": "work", "data": {"op": op, "i": 0, "of": 1}}
    return Call("c", op, request, None if ok is None else reply, start_ms * 1_000, end_ms * 1_000, "n1")


def test_a_true_history_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "history.jsonl", lines_of(a_history()))

    assert main(["check", str(path)]) == 0

    told = capsys.readouterr().out
    assert "9 attempts, 9 acknowledged, 0 lost, 0 duplicated, 0 recovered, 0 unexpected" in told
    assert told.endswith("the history is SOUND\n")


def calls_that_promise() -> list[int]:
    """Where clients were told of something that has to be explained: a push, a lease, an end."""
    verbs = ("push_batch", "pull", "ack", "ack_batch", "fail", "cancel")
    return [place for place, call in enumerate(a_history().calls) if call.request["cmd"] in verbs]


@pytest.mark.parametrize("place", calls_that_promise())
def test_one_acknowledged_line_removed_turns_it_red(place: int, tmp_path: Path) -> None:
    lines = lines_of(a_history())
    del lines[place]
    assert not check_history(written(tmp_path / "history.jsonl", lines)).sound


def test_one_lease_doubled_turns_it_red(tmp_path: Path) -> None:
    world = a_history()
    pull = next(call for call in world.calls if call.request["cmd"] == "pull")

    report = check_history(written(tmp_path / "history.jsonl", [*lines_of(world), pull]))

    assert (report.sound, report.duplicated > 0) == (False, True)
    assert any("no order of its calls makes sense" in problem for problem in report.problems)


def test_a_job_that_is_not_there_at_the_end_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(a_history())
    lines.remove(next(line for line in lines if isinstance(line, JobLine) and line.job["state"] == "waiting"))

    assert main(["check", str(written(tmp_path / "history.jsonl", lines)), "--output", "json"]) == 1

    report = json.loads(capsys.readouterr().out)
    assert report["lost"] > 0
    assert any(problem.startswith("lost: ") for problem in report["problems"])


def test_what_a_client_could_not_believe_is_a_problem(tmp_path: Path) -> None:
    lines = [*lines_of(a_history()), Broken("c", "500 for a push")]
    assert check_history(written(tmp_path / "history.jsonl", lines)).problems == ["wrong: c: 500 for a push"]


def test_faults_are_told_with_what_they_cost(tmp_path: Path) -> None:
    # Given pushes every 10 ms, a fault that takes 300 ms of them away, and one that takes nothing
    calls = [a_push(at, at + 5) for at in range(0, 100, 10)]
    calls += [a_push(110, 120, ok=False), a_push(130, 400, ok=None), a_push(401, 405)]
    calls += [a_push(at, at + 5) for at in range(410, 500, 10)]
    faults = [Event("fault", 100_000, {"kind": "kill"}), Event("healed", 150_000, {"kind": "kill"})]
    faults += [Event("fault", 440_000, {"kind": "pause"}), Event("quiet", 480_000, {})]
    jobs = [
        JobLine(
            {
                "id": call.op, "queue": "q", "name": "work", "data": call.request["data"], "state": "waiting",
                "fence": 0, "attempt": 0, "unique_key": None, "last_error": None, "depends_on": [],
                "on_parent_failure": "cascade",
            }
        )
        for call in calls
        if call.reply is None or call.reply["ok"]
    ]  # fmt: skip
    path = written(tmp_path / "h", [*calls, *faults, *jobs, CountsLine({"q": {"waiting": len(jobs)}})])

    report = check_history(path)

    assert report.problems == []
    assert report.calls == CallFigures(made=22, answered=20, refused=1, unknown=1, gap_ms_max=310)
    assert report.jobs == JobFigures(attempts=22, acknowledged=20, recovered=1, unexpected=0)
    assert report.faults == [
        FaultFigures("kill", calls=6, failed=2, gaps_ms=[310]),
        FaultFigures("pause", calls=4, failed=0, gaps_ms=[10]),
    ]
    assert table_of(report.faults)[1].split() == ["kill", "1", "6", "33.33%", "310", "310"]


def test_figures_of_two_histories_add_up() -> None:
    one, other = FaultFigures("kill", 10, 1, [200, 700]), FaultFigures("kill", 30, 1, [100])
    both = one.with_others(other)
    assert both == FaultFigures("kill", 40, 2, [100, 200, 700])
    assert (both.times, both.failed_share, both.gap_ms_p50, both.gap_ms_max) == (3, 0.05, 200, 700)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"kind":"end"}\n', "the state at the end is missing"),
        (b'{"kind":"call"}\n', "line 1 is no line of a history: Object missing required field `client`"),
        (b'{"kind":"end"}\n\xff\n', "line 2 is no line of a history"),
    ],
)
def test_what_is_no_history_is_refused(
    text: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(text)
    with pytest.raises(HistoryError, match=reason.split(":")[0]):
        check_history(path)
    assert main(["check", str(path)]) == 2
    assert reason in capsys.readouterr().err
