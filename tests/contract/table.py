"""The form of a case: rows of the contract, questions, and the whole body of each answer.

A question is a verb with its fields, asked over HTTP and again over TCP, or raw HTTP or a raw line where the row is
about one protocol. Names that begin with `$` belong to the case: the same case can be played many times on one server.
In bodies ids stand as `#1`, `#2` and attempt tokens and cursors as `~1`, by order of appearance, times as `T`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from tests.conformance import bodies
from tests.conformance.bodies import Ask, ask
from tests.conformance.protocols import Json
from tests.contract.frames import Frame

__all__ = ["ANY", "NUMBER", "TEXT", "Ask", "Case", "Http", "Line", "Question", "Seen", "Some", "Stage", "Step", "Told"]
__all__ += ["Was", "Way", "ask", "held", "http", "job", "line"]

Stage = Literal["plain", "tokens", "no webhooks"]
Way = Literal["http", "tcp", "raw"]


class Some:
    """Stands in an expected body where only the kind of a value is promised."""

    def __init__(self, *kinds: type) -> None:
        self._kinds = kinds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self._kinds) and not (isinstance(other, bool) and bool not in self._kinds)

    def __hash__(self) -> int:
        return hash(self._kinds)

    def __repr__(self) -> str:
        return f"<{' or '.join(kind.__name__ for kind in self._kinds)}>"


NUMBER: Final = Some(int)
TEXT: Final = Some(str)
ANY: Final = Some(object)


class Http(NamedTuple):
    """A request as it goes over the wire; `body` is bytes, or JSON to be written."""

    method: str
    target: str
    body: Any
    headers: tuple[tuple[str, str], ...]


class Line(NamedTuple):
    """A line of TCP; `text` is bytes, or JSON to be written. The answer `None` means that the server closed."""

    text: Any


class Told(NamedTuple):
    """What the test's own receiver of webhooks was told for this case; its address is `$RECEIVER` in a question."""


class Seen(NamedTuple):
    """The events of this case's queues; the first step of this kind begins to follow, and sees none."""


class Was(NamedTuple):
    """What the original answers, and the row of the decisions because of which we do not."""

    decision: str
    status: int
    body: Any = ANY


Question = Ask | Http | Line | Frame | Told | Seen


@dataclass(frozen=True, slots=True)
class Step:
    """`until`: asked again until the answer is this one, for what comes with time."""

    ask: Question
    status: int
    body: Any
    was: Was | None = None
    until: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """`rows` are names of `rows.ROWS`, with commas between. `differs` names the decision because of which the original
    is not asked at all. `whole`: the kill of all nodes does not fall into the middle of it, for the reason given.
    """

    rows: str
    steps: Sequence[Step]
    differs: str = ""
    stage: Stage = "plain"
    whole: str = ""
    rates: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def ways(self) -> tuple[Way, ...]:
        """A case with a raw request has one way; any other one is asked over both protocols."""
        raw = any(isinstance(step.ask, Http | Line | Frame) for step in self.steps)
        return ("raw",) if raw else ("http", "tcp")


def http(method: str, target: str, body: Any = None, /, **headers: str) -> Http:
    """A target below `/api/v1`, or from the root when it begins with two slashes."""
    path = target[1:] if target.startswith("//") else f"/api/v1{target}"
    return Http(method, path, body, tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def line(text: Any) -> Line:
    return Line(text)


def job(job_id: str, **fields: Any) -> Json:
    """The job object in a queue of the case."""
    return bodies.job(job_id, **{"queue": "$q", **fields})


def held(job_id: str, token: str = "~1", /, **fields: Any) -> Json:
    """A job as the pull that leased it answers."""
    return bodies.leased(job_id, token, **{"queue": "$q", **fields})
