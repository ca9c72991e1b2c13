"""A pod that asks for its place in the cluster, and gives it back when its StatefulSet has none for it any more."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from rustqueue_operator.pod.asking import Answer, Server, ask
from rustqueue_operator.pod.decisions import after_joining, after_leaving, is_beyond
from rustqueue_operator.pod.keeper import Neighbourhood, Place
from rustqueue_operator.pod.serve import neighbourhood, place_of

REPLACE = ("POST", "/api/v1/cluster/members/rq-3/replace")
REMOVE = ("DELETE", "/api/v1/cluster/members/rq-3")
SIZE = ("GET", "/apis/apps/v1/namespaces/queues/statefulsets/rq")
READY = ("GET", "/readyz")


def refused(status: int, code: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": "because"}})


def of_size(replicas: object, **metadata: object) -> Answer:
    return Answer(200, {"metadata": metadata, "spec": {"replicas": replicas}})


DONE = Answer(200, {"ok": True})
SILENT = Answer(0, {"message": "no answer"})
UNREADY = Answer(503, {})


class World:
    """Answers in the order given, the last one for ever; time passes only when somebody sleeps or it is told to."""

    def __init__(
        self, answers: dict[tuple[str, str], list[Answer]], kubernetes: bool = True, grace_s: float = 60
    ) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []
        self.sent: list[dict[str, Any] | None] = []
        self.now = 100.0
        around = Neighbourhood(
            node="rq-3",
            ordinal=3,
            address="rq-3.rq-nodes.queues.svc:6800",
            own=Server("http://own"),
            service=Server("http://service"),
            kubernetes=Server("https://kubernetes") if kubernetes else None,
            stateful_set="/apis/apps/v1/namespaces/queues/statefulsets/rq",
            grace_s=grace_s,
        )
        self.place = Place(around, self._ask, lambda: self.now, self._sleep)

    def _ask(self, server: Server, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Answer:
        self.asked.append((method, path))
        self.sent.append(body)
        answers = self.answers[method, path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.now += 0.01 if answer.status else timeout_s
        return answer

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def look_for(self, seconds: int) -> int:
        """Look once a second; how often the cluster was asked for the place."""
        for _ in range(seconds):
            self.now += 1
            self.place.look()
        return self.asked.count(REPLACE)


@pytest.mark.parametrize(
    ("found", "beyond"),
    [
        ({"spec": {"replicas": 3}}, True),
        ({"spec": {"replicas": 1}}, True),
        ({"spec": {"replicas": 4}}, False),
        ({"spec": {"replicas": 0}}, False),
        ({"spec": {}}, False),
        ({}, False),
        ({"metadata": {"deletionTimestamp": "now"}, "spec": {"replicas": 1}}, False),
    ],
)
def test_a_number_is_beyond_the_size_only_of_what_was_made_smaller(found: dict[str, Any], beyond: bool) -> None:
    assert is_beyond(3, found) is beyond


@pytest.mark.parametrize(
    ("answer", "joining", "leaving"),
    [
        (DONE, "done", "done"),
        (refused(409, "MEMBER_EXISTS"), "done", "again"),
        (refused(409, "MEMBER_UNKNOWN"), "again", "done"),
        (refused(409, "CHANGE_IN_PROGRESS"), "again", "again"),
        (refused(409, "LAST_VOTER"), "again", "never"),
        (refused(503, "OUTCOME_UNKNOWN"), "again", "again"),
        (refused(401, "UNAUTHORIZED"), "never", "never"),
        (SILENT, "again", "again"),
    ],
)
def test_what_an_answer_means(answer: Answer, joining: str, leaving: str) -> None:
    assert (after_joining(answer), after_leaving(answer)) == (joining, leaving)


def test_a_ready_node_asks_for_nothing() -> None:
    world = World({READY: [DONE]})

    assert world.look_for(60) == 0
    assert len(world.asked) <= 13, "and is hardly asked itself"


def test_a_node_that_only_starts_is_given_time() -> None:
    world = World({READY: [UNREADY, UNREADY, DONE]})

    assert world.look_for(30) == 0


def test_a_node_that_stays_unready_asks_for_its_place_under_its_own_address() -> None:
    world = World({READY: [UNREADY] * 5 + [DONE], REPLACE: [DONE]})

    assert world.look_for(20) >= 1
    assert world.sent[world.asked.index(REPLACE)] == {"address": "rq-3.rq-nodes.queues.svc:6800"}


def test_who_is_not_taken_in_asks_less_and_less_often_but_never_gives_up() -> None:
    world = World({READY: [UNREADY], REPLACE: [refused(409, "CHANGE_IN_PROGRESS")]})

    first_minute = world.look_for(60)
    both = world.look_for(60)

    assert (first_minute <= 10, 3 <= both - first_minute <= 6) == (True, True)


def test_a_pod_that_has_its_place_stops_without_a_word() -> None:
    world = World({SIZE: [of_size(4)]})

    assert world.place.leave() is False
    assert world.asked == [SIZE]


def test_a_pod_beyond_the_size_is_let_go_before_it_stops_however_often_it_has_to_ask() -> None:
    under_way = refused(409, "CHANGE_IN_PROGRESS")
    world = World({SIZE: [SILENT, of_size(3)], REMOVE: [under_way, SILENT, refused(503, "NO_LEADER"), DONE]})

    assert world.place.leave() is True
    assert world.asked == [SIZE, SIZE, REMOVE, REMOVE, REMOVE, REMOVE]


def test_an_answer_that_got_lost_is_no_second_removal() -> None:
    world = World({SIZE: [of_size(3)], REMOVE: [SILENT, refused(409, "MEMBER_UNKNOWN")]})

    assert world.place.leave() is True


@pytest.mark.parametrize("code", ["LAST_VOTER", "NOT_A_CLUSTER"])
def test_the_last_voter_stays(code: str) -> None:
    world = World({SIZE: [of_size(1)], REMOVE: [refused(409, code)]})

    assert (world.place.leave(), world.asked) == (False, [SIZE, REMOVE])


def test_a_cluster_without_a_leader_does_not_hold_a_pod_beyond_half_its_grace() -> None:
    world = World({SIZE: [of_size(3)], REMOVE: [refused(503, "NO_LEADER")]}, grace_s=20)
    begun = world.now

    assert world.place.leave() is False
    assert 10 <= world.now - begun < 11


@pytest.mark.parametrize(
    "answers",
    [[SILENT], [Answer(403, {"message": "forbidden"})], [Answer(404, {})], [of_size(1, deletionTimestamp="t")]],
)
def test_who_does_not_know_the_size_stays_a_member(answers: list[Answer]) -> None:
    world = World({SIZE: answers})
    begun = world.now

    assert world.place.leave() is False
    assert (set(world.asked), world.now - begun < 10) == ({SIZE}, True)


def test_an_api_server_that_does_not_answer_holds_no_pod_beyond_half_its_grace() -> None:
    world = World({SIZE: [SILENT]}, grace_s=4)
    begun = world.now

    assert world.place.leave() is False
    assert world.now - begun <= 2.5


def test_outside_of_kubernetes_nobody_is_asked() -> None:
    world = World({}, kubernetes=False)

    assert (world.place.leave(), world.asked) == (False, [])


def test_the_environment_says_whom_to_ask() -> None:
    environment = {
        "POD_NAME": "rq-3",
        "RUSTQUEUE_POD_FIRST_MEMBERS": "3",
        "RUSTQUEUE_POD_SERVICE": "rq-nodes.queues.svc",
        "RUSTQUEUE_POD_PEER_PORT": "6800",
        "RUSTQUEUE_POD_URL": "https://rq.queues.svc:6790",
        "RUSTQUEUE_POD_GRACE_S": "90",
        "RUSTQUEUE_AUTH__TOKENS": "first, second",
        "RUSTQUEUE_POD_CA": "PEM",
        "KUBERNETES_SERVICE_HOST": "fd00::1",
    }
    place = place_of(environment)
    assert place is not None

    around = neighbourhood(place, environment, "queues")

    assert (around.node, around.address, around.grace_s) == ("rq-3", "rq-3.rq-nodes.queues.svc:6800", 90)
    assert around.stateful_set == SIZE[1]
    assert around.service == Server("https://rq.queues.svc:6790", token="first", ca="PEM")
    assert around.own == Server("https://127.0.0.1:6790", unverified=True)
    assert around.kubernetes is not None
    assert around.kubernetes.url == "https://[fd00::1]:443"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer right"
        text = b'{"ok":true}' if self.path == "/json" and known else b"[1]" if known else b'{"error":{"code":"NO"}}'
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_one_exchange_is_an_answer_whatever_comes(url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("right\n")
    named = Server(url, token_file=str(token))

    assert ask(named, "GET", "/json", None, 5) == DONE
    assert ask(named, "GET", "/list", None, 5) == Answer(200, {})
    assert ask(Server(url, token="wrong"), "GET", "/json", None, 5).code == "NO"
    assert ask(Server("http://127.0.0.1:1"), "GET", "/json", None, 5).status == 0
    assert ask(Server(url, token_file=str(tmp_path / "none")), "GET", "/json", None, 5).status == 0


KEEPER = """
import sys
from rustqueue_operator.pod.keeper import Place, keep

class Told(Place):
    def __init__(self): pass
    def look(self): pass
    def leave(self): print("leaving", flush=True)

sys.exit(keep([sys.executable, "-c", sys.argv[1]], Told()))
"""
NODE = """
import signal, sys
# Waited for: a handler may run just before a pause begins that nothing ends any more.
assert not signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("stopping", flush=True)
sys.exit(7)
"""


def kept(node: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", KEEPER, textwrap.dedent(node)], stdout=subprocess.PIPE, text=True)


def test_the_keeper_leaves_first_passes_the_signal_on_and_ends_as_the_node_does() -> None:
    with kept(NODE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 7
        assert process.stdout.read() == "leaving\nstopping\n"


def test_a_keeper_that_was_frozen_goes_on_as_if_nothing_had_been() -> None:
    with kept(NODE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        # Given one that is stopped in the middle of waiting, longer than it waits, and goes on
        for _ in range(2):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            Event().wait(1.2)
            process.send_signal(signal.SIGCONT)
        # When it is told to stop
        process.send_signal(signal.SIGTERM)
        # Then that is the first it hears
        assert process.wait(60) == 7
        assert process.stdout.read() == "leaving\nstopping\n"


@pytest.mark.parametrize(("node", "code"), [("raise SystemExit(70)", 70), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_keeper_ends_with_a_node_that_ends_by_itself(node: str, code: int) -> None:
    with kept(node) as process:
        assert process.wait(60) == code
