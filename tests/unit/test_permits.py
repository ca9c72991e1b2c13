"""Scopes: what patterns match, what a scoped principal reaches by detours, and what is kept apart."""

from typing import Any, cast

import pytest

from rustqueue.auth import Authenticator, Grants, Principal, Undecided, bearer
from rustqueue.auth.grants import matches
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Unauthorized
from rustqueue.model.tokens import Scope, ScopeVerb, TokenDelete, TokenPut
from rustqueue.model.wire import encode_command
from rustqueue.raft.ports import Proposal
from tests.unit.factories import Rig
from tests.unit.gateway_world import ManualClock, World


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("mail", "mail", True),
        ("mail", "mail2", False),
        ("*", "anything.at-all", True),
        ("mail.*", "mail.de", True),
        ("mail.*", "mail.", True),
        ("mail.*", "mail", False),
        ("mail.*", "email.de", False),
        ("*.de", "mail.de", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "abcbc", True),
        ("a*b*c", "acb", False),
        ("a**c", "abc", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("Mail", "mail", False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_a_pattern_of_many_stars_is_quick() -> None:
    assert not matches("*a" * 127 + "b", "a" * 256)


def test_what_is_remembered_of_answers_is_bounded() -> None:
    grants = Grants([Scope(["push"], ["own.*"])])
    for number in range(3_000):
        assert grants.allows("push", f"own.{number}")
        assert not grants.allows("push", f"foreign.{number}")


class Tenants(World):
    """A world in which tokens are stored, and principals that hold one."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = Authenticator(True, ["chief"], ManualClock(), lambda token: self.machine.state.tokens.get(token))

    def tenant(self, name: str, *scopes: tuple[list[ScopeVerb], list[str]]) -> Principal:
        """A principal with a token of its own."""
        made = bearer.made_of(name.encode().ljust(bearer.ID_BYTES + bearer.SECRET_BYTES, b"-"))
        given = [Scope(verbs, queues) for verbs, queues in scopes]
        self.own(TokenPut(id=made.id, name=name, scopes=given, digest=made.digest))
        return self.auth.check(made.text, "::1")

    def own(self, command: Any) -> None:
        """A command that no client sends in this form."""
        replies: list[Any] = []
        self.log.propose(Proposal(command, encode_command(command), replies.append))
        self.run()
        assert replies[0].ok, replies

    def code(self, principal: Principal, cmd: str, **fields: Any) -> str | None:
        asked = self.ask(cmd, principal, **fields)
        self.run()
        return asked.code

    def push_one(self, queue: str, **options: Any) -> str:
        asked = self.ask("push", queue=queue, name="n", data={}, **options)
        self.run()
        job_id: str = asked.reply["id"]
        return job_id


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"depends_on": ["{own}"]}, None),
        ({"depends_on": ["{readable}"]}, None),
        ({"depends_on": ["{foreign}"]}, "FORBIDDEN"),
        ({"depends_on": ["custom:foreign:c"]}, "FORBIDDEN"),
        ({"depends_on": ["00000000-0000-7000-8000-000000000000"]}, "VALIDATION_ERROR"),
        ({"metadata": {"follow_ups": [{"queue": "own.b", "name": "n"}]}}, None),
        (
            {"metadata": {"follow_ups": [{"queue": "own.b", "name": "n"}, {"queue": "foreign", "name": "n"}]}},
            "FORBIDDEN",
        ),
        (
            {
                "metadata": {
                    "follow_ups": [
                        {
                            "queue": "own.b",
                            "name": "n",
                            "options": {"metadata": {"follow_ups": [{"queue": "foreign", "name": "n"}]}},
                        }
                    ]
                }
            },
            "FORBIDDEN",
        ),
        (
            {"metadata": {"follow_ups": [{"queue": "own.b", "name": "n", "options": {"depends_on": ["{foreign}"]}}]}},
            "FORBIDDEN",
        ),
        ({"metadata": {"follow_ups": ["no object", {"queue": "foreign", "name": "n"}]}}, "FORBIDDEN"),
        ({"metadata": {"note": "a word about follow_ups"}}, None),
    ],
)
def test_a_job_reaches_no_queue_that_its_pusher_may_not(options: dict[str, Any], code: str | None) -> None:
    # Given jobs in one's own queue, in one that may be read, and in a foreign one
    world = Tenants()
    names = {"{own}": world.push_one("own.a"), "{foreign}": world.push_one("foreign", custom_id="c")}
    names["{readable}"] = world.push_one("shared")
    tenant = world.tenant("t", (["push", "pull"], ["own.*"]), (["read"], ["shared"]))
    # When a job is pushed that is given their results, or that others follow
    asked = _named(options, names)
    # Then the detour needs what the direct way needs
    assert world.code(tenant, "push", queue="own.a", name="n", data={}, **asked) == code
    batch = [{"name": "n", "data": {}}, {"name": "n", "data": {}, **asked}]
    assert world.code(tenant, "push_batch", queue="own.a", jobs=batch) == code


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(member, names) for key, member in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def test_defaults_of_a_queue_reach_no_further_than_its_administrator() -> None:
    world = Tenants()
    tenant = world.tenant("t", (["admin"], ["own"]))
    defaults = {"metadata": {"follow_ups": [{"queue": "foreign", "name": "n"}]}}
    assert world.code(tenant, "queue_settings", queue="own", defaults=defaults) == "FORBIDDEN"
    assert world.code(tenant, "queue_settings", queue="own", defaults={"priority": 3}) is None


def test_one_foreign_job_refuses_a_batch() -> None:
    world = Tenants()
    own, foreign = world.push_one("own"), world.push_one("foreign")
    tenant = world.tenant("t", (["pull"], ["own"]))
    assert world.code(tenant, "ack_batch", ids=[own, foreign]) == "FORBIDDEN"
    assert world.code(tenant, "ack_batch", ids=[own, "custom:foreign:x"]) == "FORBIDDEN"
    assert world.code(tenant, "fail_batch", items=[{"id": own}, {"id": foreign}]) == "FORBIDDEN"
    assert world.code(tenant, "pull", queues=[{"queue": "own"}, {"queue": "foreign"}]) == "FORBIDDEN"


def test_a_leased_job_is_found_in_its_queue() -> None:
    # Given a leased job of a foreign queue, whose id has become known
    world = Tenants()
    job_id = world.push_one("foreign")
    assert world.code(world.auth.check("chief", "::1"), "pull", queue="foreign") is None
    tenant = world.tenant("t", (["pull"], ["own"]))
    # Then knowing it is not enough
    assert world.code(tenant, "ack", id=job_id) == "FORBIDDEN"
    assert world.code(tenant, "ack", id=job_id.upper()) == "FORBIDDEN"


def test_lists_of_all_jobs_need_all_queues() -> None:
    world = Tenants()
    tenant = world.tenant("t", (["read"], ["own"]))
    assert world.code(tenant, "job_list") == "FORBIDDEN"
    assert world.code(tenant, "job_list", queue="own") is None
    assert world.code(world.tenant("u", (["read"], ["*"])), "job_list") is None


def test_a_flow_is_cut_down_to_what_may_be_read() -> None:
    world = Tenants()
    own = world.push_one("own", flow_id="f")
    world.push_one("foreign", flow_id="f")
    asked = world.ask("flow", world.tenant("t", (["read"], ["own"])), flow_id="f")
    assert [job["id"] for job in asked.reply["jobs"]] == [own]
    assert asked.reply["summary"] | {"total": 1, "waiting": 1} == asked.reply["summary"]


def test_two_tenants_may_choose_the_same_idempotency_key() -> None:
    # Given two principals that use the key "1", each for its own request
    world = Tenants()
    one, two = world.tenant("one", (["push"], ["a"])), world.tenant("two", (["push"], ["b"]))
    first = world.ask("push", one, queue="a", name="n", data={}, idempotency_key="1")
    second = world.ask("push", two, queue="b", name="n", data={}, idempotency_key="1")
    world.run()
    # When the first repeats its request
    again = world.ask("push", one, queue="a", name="n", data={}, idempotency_key="1")
    world.run()
    # Then neither is told of the other
    assert first.reply == again.reply
    assert first.reply["id"] != second.reply["id"]
    assert world.code(one, "push", queue="a", name="other", data={}, idempotency_key="1") == "IDEMPOTENCY_MISMATCH"


def test_a_token_that_was_deleted_is_refused_where_it_was_shown_before() -> None:
    # Given a principal that waits for a job
    world = Tenants()
    tenant = world.tenant("t", (["push", "pull"], ["own"]))
    waiting = world.ask("pull", tenant, queue="own", wait_ms=60_000)
    world.run()
    assert not waiting.is_answered
    # When its token is deleted and a job comes
    world.own(TokenDelete(id=tenant.tenant))
    job_id = world.push_one("own")
    # Then it gets no job, and nothing else either
    assert waiting.code == "UNAUTHORIZED"
    assert world.code(tenant, "push", queue="own", name="n", data={}) == "UNAUTHORIZED"
    assert world.machine.ready_count("own") == 1
    assert job_id


def test_a_token_lasts_until_it_expires() -> None:
    rig, clock = Rig(), ManualClock()
    rig.now_ms = clock.wall_ms()
    made = bearer.made_of(bytes(40))
    rig.apply(TokenPut(id=made.id, name="t", scopes=[Scope(["read"], ["*"])], digest=made.digest, expires_in_ms=1_000))
    auth = Authenticator(True, [], clock, lambda token: rig.machine.state.tokens.get(token))
    principal = auth.check(made.text, "::1")
    assert principal.grants().allows("read", "q")
    clock.now_us += 1_000_000
    with pytest.raises(Unauthorized, match="expired or was deleted"):
        principal.grants()
    with pytest.raises(Unauthorized, match="Invalid bearer token"):
        auth.check(made.text, "::1")


@pytest.mark.parametrize("text", ["rq_", "rq__", "rq_00000000000000ff_x", "rq_ü_\ud800", "rq_0000000000000000_"])
def test_what_only_looks_like_a_token_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="Invalid bearer token"):
        Authenticator(True, [], ManualClock(), lambda token: None).check(text, "::1")


def test_a_restart_keeps_tokens() -> None:
    rig = Rig()
    rig.apply(TokenPut(id="t1", name="t", scopes=[Scope(["read"], ["*"])], digest="00" * 32))
    rig.reopen()
    assert [token["id"] for token in rig.ask("token_list")["tokens"]] == ["t1"]


def test_an_expired_token_gives_its_name_back() -> None:
    rig = Rig()
    scopes = [Scope(["read"], ["*"])]
    rig.apply(TokenPut(id="t1", name="t", scopes=scopes, digest="00" * 32, expires_in_ms=1_000))
    rig.now_ms += 1_000
    rig.apply(TokenPut(id="t2", name="t", scopes=scopes, digest="00" * 32))
    assert [token["id"] for token in rig.ask("token_list")["tokens"]] == ["t2"]


def test_there_is_a_limit_to_tokens() -> None:
    rig = Rig()
    rig.audited = False
    scopes = [Scope(["read"], ["*"])]
    many = [
        TokenPut(id=f"t{number}", name=f"n{number}", scopes=scopes, digest="00" * 32)
        for number in range(limits.TOKENS_MAX + 1)
    ]
    replies = rig.apply(*many)
    assert [reply.ok for reply in replies] == [True] * limits.TOKENS_MAX + [False]


# In a cluster, on a node that is behind.


class Behind:
    """Neighbours of a node that leads, but has not applied everything yet: reads wait until they are let go."""

    def __init__(self) -> None:
        self.leads = self.is_behind = True
        self.reads = self
        self.relay = self
        self.serve: Any = None
        self.take: Any = None
        self.waiting: list[Any] = []

    def wait(self, ready: Any) -> None:
        self.waiting.append(ready)

    def caught_up(self) -> None:
        waiting, self.waiting = self.waiting, []
        for ready in waiting:
            ready(False)


def test_a_node_that_is_behind_makes_sure_before_it_lets_somebody_at_a_job() -> None:
    # Given a node that has not heard yet of the jobs that a tenant names
    world, ids = Tenants(), ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"]
    tenant, behind = world.tenant("t", (["pull", "read"], ["own"])), Behind()
    world.gateway.join(cast("Any", behind))
    known = dict.fromkeys(ids, "")
    found = world.queue_of_job
    world.queue_of_job = lambda reference: known.get(reference) or found(reference)  # type: ignore[method-assign]
    asked = [world.ask("ack", tenant, id=job_id) for job_id in ids] + [world.ask("get", tenant, id=ids[1])]
    assert [one.is_answered for one in asked] == [False, False, False]
    # When it has caught up, and one of them is in a foreign queue
    known.update({ids[0]: "own", ids[1]: "foreign"})
    behind.caught_up()
    behind.caught_up()
    world.run()
    # Then the foreign one is guarded, and the other one goes on to the machine
    assert [one.code for one in asked] == ["JOB_NOT_FOUND", "FORBIDDEN", "FORBIDDEN"]
    # And what it knows it says at once
    assert world.ask("ack", tenant, id=world.push_one("foreign")).code == "FORBIDDEN"
    assert behind.waiting == []


def test_a_token_that_is_not_known_yet_is_looked_for_once_more() -> None:
    # Given a node of a cluster that is behind
    rig, clock, waiting = Rig(), ManualClock(), list[Any]()
    auth = Authenticator(True, [], clock, lambda token: rig.machine.state.tokens.get(token))
    auth.catch_up = waiting.append
    made = bearer.made_of(bytes(40))
    told: list[str] = []
    with pytest.raises(Undecided) as undecided:
        auth.check(made.text, "::1")
    undecided.value.when_decided(lambda: told.append("decided"))
    # When it hears of the token
    rig.apply(TokenPut(id=made.id, name="t", scopes=[Scope(["read"], ["*"])], digest=made.digest))
    waiting.pop()(False)
    # Then it is good, and one that nobody knows is bad, without asking for it again at once
    assert (told, auth.check(made.text, "::1").name) == (["decided"], "t")
    unknown = bearer.made_of(b"x" * 40).text
    with pytest.raises(Undecided) as undecided:
        auth.check(unknown, "::1")
    undecided.value.when_decided(lambda: None)
    waiting.pop()(False)
    for _ in range(2):
        with pytest.raises(Unauthorized, match="Invalid bearer token"):
            auth.check(unknown, "::1")
    clock.now_us += limits.TOKEN_UNKNOWN_MS * 1_000
    with pytest.raises(Undecided):
        auth.check(unknown, "::1")
