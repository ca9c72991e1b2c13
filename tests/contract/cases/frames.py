"""The binary protocol (contract A8)."""

from typing import Any, Final

from tests.conformance.bodies import ask, ok
from tests.conformance.protocols import NOBODY
from tests.contract.cases.words import get
from tests.contract.frames import Frame
from tests.contract.table import TEXT, Case, Step, held, job, line


def framed(frame: Frame, **answer: Any) -> Step:
    return Step(frame, 0, answer)


CASES: Final[dict[str, Case]] = {
    "frames": Case(
        "A8 push batch, A8 push response, A8 pull batch, A8 pull response, A8 ack batch, A8 ack response, D 21",
        [
            framed(Frame("push", "$q", ['{"to":"a"}', "[1,2]", "plain text"]), ids=["#1", "#2", "#3"]),
            framed(
                Frame("pull", "$q", wanted=2), jobs=[{"id": "#1", "data": {"to": "a"}}, {"id": "#2", "data": [1, 2]}]
            ),
            framed(Frame("pull", "$q", wanted=2), jobs=[{"id": "#3", "data": "plain text"}]),
            framed(Frame("pull", "$q", wanted=2), jobs=[]),
            framed(Frame("ack", items=["#1", "#2", NOBODY]), acked=2, failed=1),
            framed(Frame("ack", items=["#1"]), acked=0, failed=1),
        ],
    ),
    "names of jobs in frames": Case(
        "A8 rules",
        [
            framed(Frame("push", "$q", ["1", "2"]), ids=["#1", "#2"]),
            Step(get("#2"), 200, ok(job=job("#2", name="binary-job-1", data=2))),
        ],
    ),
    "channels": Case(
        "A8 channel, A8 channel response",
        [
            framed(Frame("push", "$q", ["1"], channel=7), channel=7, ids=["#1"]),
            framed(Frame("pull", "$q", wanted=1, channel=65_535), channel=65_535, jobs=[{"id": "#1", "data": 1}]),
            framed(Frame("ack", items=["#1"], channel=0), channel=0, acked=1, failed=0),
        ],
    ),
    "frames between lines": Case(
        "A8 rules, A31 tcp_protocol",
        [
            Step(line({"cmd": "push", "queue": "$q", "name": "n", "data": 5}), 0, ok(id="#1")),
            framed(Frame("pull", "$q", wanted=1), jobs=[{"id": "#1", "data": 5}]),
            Step(line({"cmd": "ack", "id": "#1"}), 0, ok()),
            framed(Frame("push", "$q", ["null"]), ids=["#2"]),
            Step(line({"cmd": "pull", "queue": "$q"}), 0, ok(job=held("#2", "~1", name="binary-job-0", data=None))),
        ],
    ),
    "a frame for a queue that cannot be": Case(
        "A8 error response",
        [
            framed(Frame("push", "a b", ["1"]), error=TEXT),
            Step(ask("pull", queue="$q", count=1), 200, ok(job=None)),
        ],
    ),
    "a frame before the token": Case(
        "A7 binary before auth",
        [framed(Frame("pull", "$q", wanted=1), error=TEXT), Step(line({"cmd": "stats", "queue": "$q"}), 0, None)],
        stage="tokens",
        whole="a connection does not outlive a restart",
    ),
}
