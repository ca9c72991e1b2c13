"""Whether and how the init container of a pod restores."""

from typing import Any

import pytest

from rustqueue.cli.program import build_parser
from rustqueue_operator.pod.asking import Answer, Server
from rustqueue_operator.pod.restore import main, reason_against, serving, words
from rustqueue_operator.pod.serve import Place

NOBODY = Answer(0, {})


def test_the_first_pod_restores_into_what_is_empty() -> None:
    assert reason_against("rq-0", NOBODY) == ""
    alone = words("/backups/jobs.rqb", None)
    assert alone == ["rustqueue", "restore", "/backups/jobs.rqb", "--data=/data", "--if-empty"]
    member = words("/backups/jobs.rqb", Place("rq-0", "rq-nodes.queues.svc", 6_800, 3))
    assert member == [*alone, "--node-id=rq-0", "--advertise=rq-0.rq-nodes.queues.svc:6800"]
    for command in (alone, member):
        build_parser().parse_args(command[1:])


def test_all_others_begin_empty() -> None:
    assert reason_against("rq-1", NOBODY) == "the first pod restores, and takes this one in"
    assert reason_against("rq-10", NOBODY) != ""


@pytest.mark.parametrize("status", [200, 401, 500, 503])
def test_where_the_release_answers_nothing_is_restored(status: int) -> None:
    assert reason_against("rq-0", Answer(status, {})) == "the release serves already: this pod joins it"


def test_what_does_nothing_says_why_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"RUSTQUEUE_POD_URL": "http://127.0.0.1:1", "POD_NAME": "rq-2"}
    assert main(environment, "/backups/jobs.rqb") == 0
    assert capsys.readouterr().out == "nothing is restored: the first pod restores, and takes this one in\n"


def test_a_question_that_is_lost_is_asked_again() -> None:
    asked: list[Server] = []

    def ask(server: Server, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Answer:
        asked.append(server)
        return Answer(503 if len(asked) == 3 else 0, {})

    assert serving("https://rq.queues.svc:6790", ask, 0.0).status == 503
    assert asked == [Server("https://rq.queues.svc:6790", unverified=True)] * 3
    asked.clear()
    silent = serving("https://rq.queues.svc:6790", lambda *asked: Answer(0, {}), 0.0)
    assert reason_against("rq-0", silent) == ""
