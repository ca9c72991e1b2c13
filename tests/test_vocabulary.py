"""One vocabulary: whoever adds a verb adds it everywhere, or this says where it is missing.

The tags of the structs are the names that TCP takes. Whatever differs on purpose stands here with its reason.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec import Struct

from rustqueue.api.routes import ROUTES, Body
from rustqueue.client import AsyncClient, Client
from rustqueue.client.routes import ROUTES as CLIENT_ROUTES
from rustqueue.model import commands, queries
from rustqueue.model.errors import ApiError, UnknownCommand
from rustqueue.model.wire import decode_request
from tests.conformance import test_verbs_errors
from tests.conformance.bodies import Step
from tests.conformance.protocols import HTTP_FORMS, tag_of

DOCS = Path(__file__).resolve().parent.parent / "docs"

WIRE = (
    *get_args(commands.WireCommand | commands.SecretCommand),
    *get_args(queries.Query),
    *get_args(queries.ShellQuery),
)
VERBS = {tag_of(kind) for kind in WIRE}

NOT_OVER_HTTP = {
    "auth",  # A header there.
    "push_batch",  # The route of `push` with an array.
}
ONLY_OVER_HTTP = {
    *("metrics", "livez", "readyz"),  # For machines that speak HTTP and nothing else.
    "events",  # A WebSocket; the clients have `subscribe` for it.
}
TOLD_ELSEWHERE = {
    "cluster_get",  # tests/unit/test_membership.py: it tells an id made by chance.
    # tests/unit/test_backup.py: what a backup holds differs between nodes.
    *("backup_create", "backup_read", "backup_delete"),
    "auth",  # tests/unit/test_tcp.py: it needs a node with tokens.
    "health",  # A test of its own, since its answer tells the time.
}
METHODS = {
    "job_list": "list_jobs",
    "job_parents": "parents",
    "job_retry": "retry",
    "job_promote": "promote",
    "job_priority": "set_priority",
    "job_remove": "remove",
    "list_queues": "queues",
    "queue_get": "get_queue",
    "queue_settings": "put_queue",
    "queue_delete": "delete_queue",
    "queue_pause": "pause",
    "queue_resume": "resume",
    "queue_drain": "drain",
    "queue_clean": "clean",
    "dlq_retry": "retry_dlq",
    "dlq_purge": "purge_dlq",
    "sweep_get": "sweep",
    "sweep_cancel": "cancel_sweep",
    "tx": "transaction",
    "queue_scale": "scale",
    "job_why": "why",
    "job_history": "history",
    "job_result": "result",
    "worker_list": "workers",
    "worker_drain": "drain_worker",
    "token_create": "create_token",
    "token_list": "tokens",
    "token_delete": "delete_token",
    "schedule_create": "create_schedule",
    "schedule_put": "put_schedule",
    "schedule_get": "get_schedule",
    "schedule_list": "list_schedules",
    "schedule_delete": "delete_schedule",
    "schedule_pause": "pause_schedule",
    "schedule_resume": "resume_schedule",
    "schedule_run": "run_schedule",
    "webhook_create": "create_webhook",
    "webhook_put": "put_webhook",
    "webhook_list": "list_webhooks",
    "webhook_get": "get_webhook",
    "webhook_delete": "delete_webhook",
    "webhook_pause": "pause_webhook",
    "webhook_resume": "resume_webhook",
    "webhook_test": "test_webhook",
    "webhook_resend": "resend_webhook",
    "cluster_get": "cluster",
    "cluster_transfer": "transfer_leadership",
    "backup_create": "begin_backup",
    "backup_read": "read_backup",
    "backup_delete": "end_backup",
    "member_add": "add_member",
    "member_remove": "remove_member",
    "member_replace": "replace_member",
}
"""Verbs whose method has a name that reads better in Python; all others are called as on TCP."""

BESIDE_VERBS = {"close", "iter_jobs", "iter_parents", "subscribe"}

# Contract A7 and decisions A3.
OF_THE_ORIGINAL = {
    *("push", "push_batch", "pull", "ack", "ack_batch", "fail", "cancel", "heartbeat", "progress", "stats"),
    *("queue_pause", "queue_resume", "auth"),
    *("get", "fail_batch", "list_queues", "dlq", "flow", "health"),
    *("schedule_create", "schedule_list", "schedule_get", "schedule_delete", "schedule_pause", "schedule_resume"),
}


def known_to_tcp(verb: str) -> bool:
    try:
        decode_request(msgspec.json.encode({"cmd": verb}))
    except UnknownCommand:
        return False
    except ApiError:
        pass  # Something else is missing.
    return True


def all_cases() -> dict[str, list[Step]]:
    """The tables of all modules that compare whole answers over all protocols."""
    folder = Path(__file__).resolve().parent / "conformance"
    modules = [importlib.import_module(f"tests.conformance.{path.stem}") for path in folder.glob("test_verbs_*.py")]
    return {name: steps for module in modules for name, steps in getattr(module, "CASES", {}).items()}


def test_tcp_takes_every_verb_and_no_other() -> None:
    internal = {tag_of(kind) for kind in get_args(commands.InternalCommand)}
    made_up = {"schedules", "push_", "PUSH", ""}
    assert {verb for verb in VERBS | internal | made_up if known_to_tcp(verb)} == VERBS


def test_every_verb_of_the_original_is_there() -> None:
    assert set() == OF_THE_ORIGINAL - VERBS


def test_http_has_a_route_for_every_verb() -> None:
    assert {route.verb for route in ROUTES} == (VERBS - NOT_OVER_HTTP) | ONLY_OVER_HTTP


def test_every_field_of_a_verb_is_known_to_its_route() -> None:
    """Path, query and body together: a field that no route takes could be asked on TCP alone."""
    kinds: dict[str, type[Struct]] = {tag_of(kind): kind for kind in WIRE}
    with_body = {route.verb for route in ROUTES if route.body is not Body.NONE}
    by_query = [route for route in ROUTES if route.verb in VERBS - with_body]
    missing = {}
    for route in by_query:
        taken = {*re.findall(r"\{(\w+)\}", route.path), *(name.rstrip(".") for name in route.query)}
        missing[route.verb] = set(kinds[route.verb].__struct_fields__) - taken - {"request_id"}
    assert {verb: fields for verb, fields in missing.items() if fields} == {}


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_the_clients_have_a_method_for_every_verb(client: type) -> None:
    public = {name for name, value in inspect.getmembers(client, callable) if not name.startswith("_")}
    assert public == {METHODS.get(verb, verb) for verb in VERBS - {"auth"}} | BESIDE_VERBS
    assert {tag_of(kind) for kind in CLIENT_ROUTES} == VERBS - {"auth"}


def test_the_page_on_http_has_a_heading_for_every_route() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `(\w+ /\S*)`$", text, re.MULTILINE)
    assert sorted(headings) == sorted(f"{route.method} {route.path}" for route in ROUTES)


def test_the_page_on_tcp_has_a_heading_for_every_verb() -> None:
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(\w+)`$", text, re.MULTILINE)) == sorted(VERBS)


def test_every_verb_is_compared_over_all_protocols() -> None:
    compared = {ask.verb for steps in all_cases().values() for ask, _, _ in steps}
    assert compared == VERBS - TOLD_ELSEWHERE
    assert set(HTTP_FORMS) == VERBS - {"auth"}


def test_a_verb_is_named_after_what_it_works_on() -> None:
    """Decisions F: snake_case of resource and verb; the names of contract A7 stay as they are."""
    resources = (
        "job_",
        "queue_",
        "dlq_",
        "sweep_",
        "worker_",
        "token_",
        "schedule_",
        "webhook_",
        "cluster_",
        "member_",
        "backup_",
    )
    named = VERBS - OF_THE_ORIGINAL - {"tx"}  # Decisions D call it so, and it is about no one resource.
    assert [verb for verb in named if not re.fullmatch(r"[a-z]+(_[a-z]+)+", verb)] == []
    assert [verb for verb in named if not verb.startswith(resources)] == []


def test_the_page_on_compatibility_names_tests_that_exist() -> None:
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    tests = Path(__file__).resolve().parent
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", text))
    assert named != set()
    sources = {file: (tests / file).read_text(encoding="utf-8") for file, _ in named}
    assert [f"{file}::{name}" for file, name in named if f"def {name}(" not in sources[file]] == []
    cases = all_cases()
    mistakes = {**test_verbs_errors.MISTAKES, **test_verbs_errors.BROKEN, **test_verbs_errors.HTTP_ONLY}
    table = "\n".join(line for line in text.splitlines() if line.startswith("| "))
    for kind, known in (("verbs", cases.keys()), ("errors", mistakes.keys())):
        rows = [row for found in re.findall(rf"{kind}: ([^;|`]+)", table) for row in found.strip().split(", ")]
        assert rows != []
        assert set(rows) - known == set()
