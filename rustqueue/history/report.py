"""`rustqueue check HISTORY`: read a history, judge it, say what was found.

It knows files, and nothing of nodes. Invariants: a history without the state at its end is not judged, since nothing
could be missed in it; a line that cannot be read is a problem, not a gap.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from rustqueue.history.figures import (
    CallFigures,
    FaultFigures,
    JobFigures,
    count_calls,
    count_faults,
    count_jobs,
)
from rustqueue.history.linear import check_orders
from rustqueue.history.lines import Broken, Call, CountsLine, Event, JobLine, Line, Object, decode_line
from rustqueue.history.verdict import Evidence, Problem, Snapshot, judge

PROBLEMS_SHOWN_MAX = 50


class HistoryReport(Struct, frozen=True):
    """What was found. `ordered` is the number of jobs whose calls were put into an order, `undecided` of those
    where the search was given up; of `unheard` leases no client was told.
    """

    calls: CallFigures
    jobs: JobFigures
    faults: list[FaultFigures]
    lost: int
    duplicated: int
    wrong: int
    ordered: int
    undecided: int
    unheard: int
    problems: list[str]

    @property
    def sound(self) -> bool:
        return not self.problems and not self.undecided


class HistoryError(Exception):
    """The file is no history that can be judged; the text says why."""


class History:
    """A history as it was read, by kinds of lines."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.broken: list[Broken] = []
        self._jobs: dict[str, Object] = {}
        self._counts: dict[str, dict[str, int]] | None = None

    def add(self, line: Line) -> None:
        if isinstance(line, Call):
            self.calls.append(line)
        elif isinstance(line, Event):
            self.events.append(line)
        elif isinstance(line, Broken):
            self.broken.append(line)
        elif isinstance(line, JobLine):
            self._jobs[line.job["id"]] = line.job
        elif isinstance(line, CountsLine):
            self._counts = line.counts

    @property
    def complete(self) -> bool:
        return self._counts is not None

    @property
    def nonsense(self) -> list[str]:
        """What clients met that no node may do."""
        return [f"{broken.client}: {broken.reason}" for broken in self.broken]

    def lines(self) -> Iterator[Line]:
        """All of it in the order of time, the state last."""
        timed: list[Call | Event] = [*self.calls, *self.events]
        yield from sorted(timed, key=lambda line: line.start_us if isinstance(line, Call) else line.at_us)
        yield from self.broken
        yield from self.snapshot.lines()

    @property
    def snapshot(self) -> Snapshot:
        if self._counts is None:
            raise HistoryError("the state at the end is missing (lines of kind job, then one of kind counts)")
        return Snapshot(self._jobs, self._counts)


def read_history(path: Path) -> History:
    history = History()
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            try:
                history.add(decode_line(text))
            except (msgspec.DecodeError, KeyError) as error:
                raise HistoryError(f"line {number} is no line of a history: {error}") from None
    return history


def judge_history(history: History) -> tuple[HistoryReport, list[Problem]]:
    """The report, and the problems by kind."""
    snapshot = history.snapshot
    evidence = Evidence(history.calls)
    orders = check_orders(evidence, snapshot, history.calls)
    problems = [Problem("wrong", text) for text in history.nonsense]
    problems += [*judge(history.calls, snapshot), *orders.illegal]
    report = HistoryReport(
        calls=count_calls(history.calls),
        jobs=count_jobs(evidence, snapshot),
        faults=count_faults(history.calls, history.events),
        lost=sum(problem.kind == "lost" for problem in problems),
        duplicated=sum(problem.kind == "duplicated" for problem in problems),
        wrong=sum(problem.kind == "wrong" for problem in problems),
        ordered=orders.jobs - orders.undecided,
        undecided=orders.undecided,
        unheard=orders.unheard,
        problems=[f"{problem.kind}: {problem.text}" for problem in problems],
    )
    return report, problems


def check_history(path: Path) -> HistoryReport:
    """Raises `HistoryError` when there is nothing to judge."""
    return judge_history(read_history(path))[0]


def table_of(faults: list[FaultFigures]) -> list[str]:
    """A line for each kind of fault, and one above them; nothing for a history without faults."""
    if not faults:
        return []
    kinds = max(24, *(len(each.kind) for each in faults))
    return [f"{'fault':<{kinds}} {'times':>6} {'calls':>9} {'failed':>8} {'gap ms p50':>11} {'max':>8}"] + [
        f"{each.kind:<{kinds}} {each.times:>6,} {each.calls:>9,} {each.failed_share:>8.2%} {each.gap_ms_p50:>11,} "
        f"{each.gap_ms_max:>8,}"
        for each in faults
    ]


def text_of(report: HistoryReport) -> str:
    """For people."""
    calls, jobs = report.calls, report.jobs
    lines = [
        f"calls   {calls.made:,}: {calls.answered:,} answered, {calls.refused:,} refused, {calls.unknown:,} unknown",
        f"jobs    {jobs.attempts:,} attempts, {jobs.acknowledged:,} acknowledged, {report.lost:,} lost, "
        f"{report.duplicated:,} duplicated, {jobs.recovered:,} recovered, {jobs.unexpected:,} unexpected",
        f"orders  {report.ordered:,} jobs whose calls make sense in one order or were told of below"
        + (f", {report.undecided:,} undecided" if report.undecided else ""),
        f"leases  {report.unheard:,} that no client was told of: it was cut off, or its node sent a pull twice",
        f"writes  longest time without an acknowledged push: {calls.gap_ms_max:,} ms",
    ]
    lines += table_of(report.faults)
    lines += report.problems[:PROBLEMS_SHOWN_MAX]
    hidden = len(report.problems) - PROBLEMS_SHOWN_MAX
    if hidden > 0:
        lines.append(f"and {hidden:,} more")
    lines.append("the history is SOUND" if report.sound else "the history is NOT sound")
    return "\n".join(lines)
