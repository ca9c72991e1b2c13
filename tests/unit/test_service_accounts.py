"""Tokens of Kubernetes ServiceAccounts: who is asked, how often, and what happens while nobody can be asked."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rustqueue.auth import AccountScopes, Authenticator, Reviewed, ServiceAccounts, Undecided
from rustqueue.effects.token_review import ApiServer, ReviewFailed, review
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Unauthorized
from rustqueue.model.tokens import Scope
from rustqueue.node import Node
from rustqueue.settings import AuthSettings, KubernetesSettings
from tests.fuzz.shell import Wire
from tests.unit.api_server import NODE_TOKEN, Reviews, api_server
from tests.unit.certificates import Authority
from tests.unit.gateway_world import ManualClock
from tests.unit.tcp_client import a_node, connected

RULES = [
    AccountScopes("jobs/producer", [Scope(["push"], ["mail.*"])]),
    AccountScopes("jobs/*", [Scope(["read"], ["shared"])]),
    AccountScopes("ops/*", [Scope(["admin"], ["*"])]),
]
PRODUCER, STRANGER = "system:serviceaccount:jobs:producer", "system:serviceaccount:other:producer"
FRESH_MS = 60_000


def token_of(name: str, expires_at: int | None = None) -> str:
    """A text of the form of a JSON web token; nobody here looks at its signature."""
    claims = {"sub": name} if expires_at is None else {"sub": name, "exp": expires_at}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


class Desk:
    """A reviewer that answers when told, and the accounts that ask it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.users: dict[str, str] = {}
        self.reachable = True
        self.asked: list[tuple[str, Callable[[Reviewed | None], None]]] = []
        accounts = ServiceAccounts(RULES, lambda token, told: self.asked.append((token, told)), self.clock, FRESH_MS)
        self.auth = Authenticator(True, ["configured"], self.clock, lambda token: None, accounts)

    def answer(self) -> int:
        """Answer all questions; returns how many there were."""
        asked, self.asked = self.asked, []
        for token, told in asked:
            told(Reviewed(self.users.get(token)) if self.reachable else None)
        return len(asked)

    def admit(self, token: str) -> Any:
        """As a shell does: when nobody can say yet, ask again when somebody can."""
        try:
            return self.auth.check(token, "::1")
        except Undecided as undecided:
            undecided.when_decided(lambda: None)
            assert self.answer() == 1
            return self.auth.check(token, "::1")


def test_an_account_may_do_what_all_its_rules_say() -> None:
    desk = Desk()
    desk.users[token_of("p")] = PRODUCER
    principal = desk.admit(token_of("p"))
    assert (principal.name, principal.tenant) == ("serviceaccount:jobs/producer", "serviceaccount:jobs/producer")
    grants = principal.grants()
    told = [grants.allows("push", "mail.de"), grants.allows("read", "shared"), grants.allows("push", "shared")]
    assert told == [True, True, False]


def test_an_account_without_a_rule_may_do_nothing() -> None:
    desk = Desk()
    desk.users[token_of("s")] = STRANGER
    grants = desk.admit(token_of("s")).grants()
    assert not any(grants.allows_somewhere(verb) for verb in ("push", "pull", "read", "admin"))


@pytest.mark.parametrize("user", ["system:admin", "alice", ""])
def test_only_service_accounts_get_in(user: str) -> None:
    desk = Desk()
    desk.users[token_of("x")] = user
    with pytest.raises(Unauthorized, match="Invalid bearer token"):
        desk.admit(token_of("x"))


def test_a_verdict_is_asked_for_once_and_kept() -> None:
    # Given two that show the same token at once
    desk, token = Desk(), token_of("p")
    told: list[int] = []
    desk.users[token] = PRODUCER
    for number in range(2):
        with pytest.raises(Undecided) as undecided:
            desk.auth.check(token, "::1")
        undecided.value.when_decided(partial(told.append, number))
    # When the answer comes
    assert (desk.answer(), told) == (1, [0, 1])
    # Then it serves until it is old, and after that while it is asked for anew
    principal = desk.auth.check(token, "::1")
    desk.clock.now_us += (FRESH_MS - 1) * 1_000
    assert (principal.grants().allows("push", "mail.x"), desk.asked) == (True, [])
    desk.clock.now_us += 1_000
    assert principal.grants().allows("push", "mail.x")
    assert principal.grants().allows("push", "mail.x")
    # And a no ends it, also on connections that showed it before
    del desk.users[token]
    assert desk.answer() == 1
    with pytest.raises(Unauthorized, match="good no longer"):
        principal.grants()


def test_known_accounts_go_on_while_the_api_server_is_away() -> None:
    # Given an account that is known, and an API server that has gone
    desk = Desk()
    now_s = desk.clock.wall_ms() // 1_000
    token, late = token_of("p", now_s + 3_600), token_of("late", now_s + 3_600)
    desk.users = {token: PRODUCER, late: PRODUCER}
    principal = desk.admit(token)
    desk.reachable = False
    # Then it goes on, asking no more than once a second
    desk.clock.now_us += FRESH_MS * 1_000
    assert principal.grants().allows("push", "mail.x")
    assert desk.answer() == 1
    assert principal.grants().allows("push", "mail.x")
    assert desk.answer() == 0
    desk.clock.now_us += limits.REVIEW_PAUSE_MS * 1_000
    assert desk.auth.check(token, "::1").grants().allows("push", "mail.x")
    assert desk.answer() == 1
    # And nobody new gets in, which is no fault of his
    for _ in range(limits.AUTH_FAILURES_MAX + 1):
        with pytest.raises(ApiError) as refused:
            desk.admit(late)
        assert (refused.value.code, refused.value.status) == ("AUTH_UNAVAILABLE", 503)
    # Until the server is back, or the token has expired
    desk.clock.now_us += limits.REVIEW_PAUSE_MS * 1_000
    desk.reachable = True
    assert desk.admit(late).grants().allows("push", "mail.x")
    desk.reachable = False
    desk.clock.now_us += 3_600_000_000
    with pytest.raises(Unauthorized, match="expired"):
        principal.grants()


def test_bad_tokens_are_remembered_and_count_for_the_lockout() -> None:
    desk = Desk()
    with pytest.raises(Unauthorized):
        desk.admit(token_of("bad"))
    for _ in range(limits.AUTH_FAILURES_MAX - 1):
        with pytest.raises(Unauthorized):
            desk.auth.check(token_of("bad"), "::1")
    with pytest.raises(ApiError, match="Too many failed"):
        desk.auth.check("configured", "::1")
    assert desk.asked == []


def test_questions_and_verdicts_are_bounded() -> None:
    desk = Desk()
    for number in range(limits.REVIEWS_MAX):
        with pytest.raises(Undecided) as undecided:
            desk.auth.check(token_of(f"t{number}"), "::1")
        undecided.value.when_decided(lambda: None)
    with pytest.raises(ApiError, match="cannot be asked"):
        desk.auth.check(token_of("one more"), "::1")


@pytest.mark.parametrize("text", ["no.web.token", "eyJ.a", "eyJ.a.b.c", "eyJ." + "a" * 9_000 + ".b"])
def test_other_texts_are_nobody_elses_business(text: str) -> None:
    desk = Desk()
    with pytest.raises(Unauthorized, match="Invalid bearer token"):
        desk.auth.check(text, "::1")
    assert desk.asked == []


# The question itself, over real connections.


def the_server(url: str, tmp_path: Path, ca_file: str = "") -> ApiServer:
    token_file = tmp_path / "token"
    token_file.write_text(NODE_TOKEN + "\n")
    return ApiServer(url, ca_file, str(token_file), "rustqueue")


def test_the_api_server_is_asked_over_tls(tmp_path: Path) -> None:
    authority, stranger, reviews = Authority(tmp_path), Authority(tmp_path, "stranger"), Reviews()
    reviews.accounts["good"] = PRODUCER
    with api_server(reviews, authority.issue("127.0.0.1")) as url:
        server = the_server(url, tmp_path, authority.ca_file)
        assert (review(server, "good"), review(server, "bad")) == (Reviewed(PRODUCER), Reviewed(None))
        with pytest.raises(ReviewFailed, match="CERTIFICATE_VERIFY_FAILED"):
            review(the_server(url, tmp_path, stranger.ca_file), "good")
    assert reviews.asked == ["good", "bad"]
    with pytest.raises(ReviewFailed, match="ConnectionRefused"):
        review(server, "good")


def test_a_token_for_another_audience_is_not_for_us(tmp_path: Path) -> None:
    reviews = Reviews()
    reviews.accounts["good"] = PRODUCER
    with api_server(reviews) as url:
        reviews.audiences = ["https://kubernetes.default.svc"]
        assert review(the_server(url, tmp_path), "good") == Reviewed(None)
        # A server too old to know audiences answers without them.
        status = {"authenticated": True, "user": {"username": PRODUCER}}
        reviews.body = json.dumps({"status": status}).encode()
        assert review(the_server(url, tmp_path), "good") == Reviewed(None)


@pytest.mark.parametrize(("status", "body"), [(403, b"{}"), (500, b""), (201, b"<html>"), (201, b'{"status":[]}')])
def test_what_is_no_answer_is_no_verdict(status: int, body: bytes, tmp_path: Path) -> None:
    reviews = Reviews()
    reviews.status, reviews.body = status, body
    with api_server(reviews) as url, pytest.raises(ReviewFailed):
        review(the_server(url, tmp_path), "good")


# A node that asks.


@asynccontextmanager
async def in_cluster(reviews: Reviews, tmp_path: Path) -> AsyncIterator[Node]:
    authority = Authority(tmp_path)
    token_file = tmp_path / "token"
    token_file.write_text(NODE_TOKEN)
    with api_server(reviews, authority.issue("127.0.0.1")) as url:
        kubernetes = KubernetesSettings(
            accounts=["jobs/producer=push,read:mail.*", "ops/*=admin:*"],
            api_server=url,
            ca_file=authority.ca_file,
            token_file=str(token_file),
        )
        async with a_node(auth=AuthSettings(enabled=True), kubernetes=kubernetes) as node:
            yield node


async def test_a_pod_pushes_with_its_own_token(tmp_path: Path) -> None:
    reviews, token = Reviews(), token_of("p")
    reviews.accounts[token] = PRODUCER
    async with in_cluster(reviews, tmp_path) as node, connected(node) as client:
        # TCP: what stands behind the token in the same write is asked by whoever it shows.
        client.send("auth", token=token)
        client.send("push", queue="mail.de", name="n", data=1)
        client.send("push", queue="other", name="n", data=1)
        client.send("stats", queue="mail.de")
        answers = [await client.answer() for _ in range(4)]
        assert [answer["ok"] for answer in answers] == [True, True, False, True]
        assert answers[2]["error"]["code"] == "FORBIDDEN"
        # HTTP: another connection, no other question.
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        headers = (("Authorization", f"Bearer {token}"),)
        told = await wire.ask("GET", "/api/v1/queues", None, headers)
        assert [queue["name"] for queue in told.json["queues"]] == ["mail.de"]
        assert (await wire.ask("GET", "/api/v1/queues", None, (("Authorization", "Bearer eyJ.b.c"),))).status == 401
        await wire.close()
    assert reviews.asked == [token, "eyJ.b.c"]


async def test_a_client_that_goes_while_its_token_is_reviewed_harms_nobody(tmp_path: Path) -> None:
    # Given an API server that takes its time, and clients that do not
    reviews, token = Reviews(), token_of("p")
    reviews.accounts[token] = PRODUCER
    reviews.hold.clear()
    async with in_cluster(reviews, tmp_path) as node:
        wires = [Wire(*await asyncio.open_connection("127.0.0.1", node.http.port)) for _ in range(2)]
        for wire in wires:
            wire.send(f"GET /api/v1/queues HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        async with connected(node) as gone, connected(node) as stays:
            gone.send("auth", token=token)
            stays.send("auth", token=token)
            stays.send("health")
            await wires[0].close()
            # Then others are served meanwhile, and when the answer comes
            other = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
            assert (await other.ask("GET", "/api/v1/health")).status == 200
            await other.close()
            reviews.hold.set()
            assert [(await stays.answer())["ok"] for _ in range(2)] == [True, True]
        # Then whoever is still there is served
        assert (await wires[1].answer()).status == 200
        await wires[1].close()
    assert reviews.asked == [token]
