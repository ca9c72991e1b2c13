"""What administrators do is told, with no more than who, what, on what, and the outcome."""

import logging

import pytest

from rustqueue.auth import Principal
from rustqueue.effects.audit import AuditLog
from rustqueue.effects.logs import PrettyLines, fields_of
from rustqueue.gateway.permits import AUDITED
from rustqueue.model.commands import QueueDelete
from rustqueue.model.errors import Forbidden
from rustqueue.model.replies import Refused
from rustqueue.settings import AuthSettings
from tests.conformance.protocols import tag_of
from tests.unit.tcp_client import a_node, connected


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [fields_of(record) for record in caplog.records if record.name == "rustqueue.audit"]


async def test_administration_is_told_and_work_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with a_node(auth=AuthSettings(enabled=True, tokens=["chief"])) as node, connected(node) as client:
        # Given somebody who works, administers, and tries what he may not
        await client.ask("queue_pause", queue="early")
        await client.ask("auth", token="chief")
        scopes = [{"verbs": ["push"], "queues": ["q"]}]
        made = await client.ask("token_create", name="w", scopes=scopes)
        await client.ask("push", queue="q", name="n", data="payload")
        await client.ask("cancel", id="custom:q:none")
        await client.ask("list_queues")
        await client.ask("queue_delete", queue="q", force=True)
        await client.ask("auth", token=made["token"])
        await client.ask("queue_settings", queue="q", defaults={"metadata": {"hush": "hush"}})
        # Then the log has what is for an administrator, done or refused
        assert lines(caplog) == [
            {
                "principal": "nobody",
                "verb": "queue_pause",
                "target": {"queue": "early", "mode": "reject"},
                "outcome": "UNAUTHORIZED",
            },
            {
                "principal": "token-1",
                "verb": "token_create",
                "target": {"name": "w", "id": made["id"]},
                "outcome": "ok",
            },
            {"principal": "token-1", "verb": "queue_delete", "target": {"queue": "q", "force": True}, "outcome": "ok"},
            {
                "principal": "w",
                "tenant": made["id"],
                "verb": "queue_settings",
                "target": {"queue": "q"},
                "outcome": "FORBIDDEN",
            },
        ]
        # And no secret in any line
        told = "\n".join(PrettyLines().format(record) for record in caplog.records)
        assert not any(secret in told for secret in ("chief", made["token"], "hush", "payload"))


def test_verbs_about_queues_tokens_and_sweeps_are_told() -> None:
    told = {tag_of(kind) for kind in AUDITED}
    assert told >= {"queue_settings", "queue_delete", "dlq_purge", "sweep_cancel", "token_create", "token_delete"}
    assert told & {"push", "ack", "cancel", "token_list", "queue_get"} == set()


def test_a_flood_of_refusals_is_counted_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seconds = [0.0]
    audit = AuditLog(lambda: seconds[0])
    refused = Refused.of(Forbidden("admin", "q"))
    for _ in range(50):
        audit(Principal("p"), QueueDelete(queue="q"), refused)
    assert len(lines(caplog)) == 20
    seconds[0] = 1.0
    audit(Principal("p"), QueueDelete(queue="q"), refused)
    assert lines(caplog)[-1]["refusals_not_told"] == 30


def test_a_line_of_text_stays_one_line() -> None:
    record = logging.makeLogRecord({"msg": "event", "name": "n", "reason": "a\r\nfaked \x1b[31mline", "plain": "a b"})
    line = PrettyLines().format(record)
    assert line.endswith("event reason='a\\r\\nfaked \\x1b[31mline' plain=a b")
