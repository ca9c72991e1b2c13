"""The operator's calls against a real node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rustqueue.client import Client
from rustqueue_operator.backend import Backend, Connection, NoAnswer
from rustqueue_operator.planning.values import Absent, Record, Refusal
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

OWNER = {"uid": "uid-1", "ref": "here/team/mail"}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("node")
    with node_in_thread(node_settings(folder, token="secret")) as serving:
        yield serving


async def test_a_queue_is_made_seen_and_deleted(ports: Ports) -> None:
    backend = Backend(Connection(ports.url("http"), "secret"))
    name = "team.a_b-1"
    assert await backend.look("Queue", name) == Absent()
    assert await backend.put("Queue", name, {"lease_ms": 60_000, "labels": {}, "owner": OWNER}, 0) is None
    assert await backend.look("Queue", name) == Record(
        settings={"lease_ms": 60_000, "mode": "normal"}, owner_uid="uid-1", owner_ref="here/team/mail", revision=1
    )

    again = await backend.put("Queue", name, {"lease_ms": 1_000}, 0)
    others = await backend.delete("Queue", name, "uid-2", force=False)

    assert [refusal.code for refusal in (again, others) if refusal is not None] == ["PRECONDITION_FAILED"] * 2
    assert await backend.delete("Queue", name, "uid-1", force=False) is None
    assert await backend.delete("Queue", name, "uid-1", force=False) is None
    assert await backend.look("Queue", name) == Absent()
    await backend.close()


async def test_a_queue_that_was_only_used_has_revision_0(ports: Ports) -> None:
    with Client(ports.url("http"), token="secret") as client:
        client.push("used", "job", {})
    backend = Backend(Connection(ports.url("http"), "secret"))

    assert await backend.look("Queue", "used") == Record(settings={"mode": "normal"})
    await backend.put("Queue", "used", {"owner": OWNER, "labels": {}}, 0)
    refusal = await backend.delete("Queue", "used", "uid-1", force=False)

    assert refusal is not None
    assert (refusal.code, refusal.passing) == ("QUEUE_NOT_EMPTY", False)
    assert "(waiting 1)" in refusal.message
    await backend.close()


async def test_a_refusal_names_the_field(ports: Ports) -> None:
    backend = Backend(Connection(ports.url("http"), "secret"))

    refusal = await backend.put("Queue", "bad", {"lease_ms": 1}, 0)

    assert refusal is not None
    assert (refusal.code, refusal.passing) == ("VALIDATION_ERROR", False)
    assert "lease_ms" in refusal.message
    await backend.close()


async def test_a_bad_token_is_a_refusal_that_may_pass(ports: Ports) -> None:
    backend = Backend(Connection(ports.url("http"), "wrong"))

    refusal = await backend.look("Queue", "mail")

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.passing) == ("UNAUTHORIZED", True)
    await backend.close()


async def test_nobody_there_and_something_else_there_are_no_answer(ports: Ports) -> None:
    nobody = Backend(Connection("http://127.0.0.1:1"))
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1:1"):
        await nobody.look("Queue", "mail")
    await nobody.close()

    lines = Backend(Connection(f"http://127.0.0.1:{ports.tcp}"))
    with pytest.raises(NoAnswer):
        await lines.look("Queue", "mail")
    await lines.close()


async def test_a_backend_that_was_closed_gives_no_answer(ports: Ports) -> None:
    backend = Backend(Connection(ports.url("http"), "secret"))
    assert await backend.identity() is not None
    await backend.close()

    with pytest.raises(NoAnswer):
        await backend.identity()


async def test_who_belongs_to_the_cluster_is_told_and_the_last_member_stays(ports: Ports) -> None:
    backend = Backend(Connection(ports.url("http"), "secret"))

    members = (await backend.cluster())["members"]
    refusal = await backend.remove_member(members[0]["id"])

    assert (len(members), isinstance(refusal, Refusal) and refusal.code) == (1, "NOT_A_CLUSTER")
    await backend.close()
