"""Who declared a queue, and that nobody changes what they have not seen."""

from typing import Any

import pytest

from rustqueue.model import limits
from rustqueue.model.errors import ApiError
from rustqueue.model.wire import decode_request
from tests.unit.factories import Json, Rig, encode

OWNER = {"uid": "u1", "ref": "Queue/prod/mail"}


def shown(rig: Rig) -> tuple[Any, Any, Any]:
    queue = rig.ask("queue_get", queue="q")
    return queue["labels"], queue["owner"], queue["revision"]


def test_labels_and_owner_stay_until_they_are_given_anew() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", labels={"b": "2", "a": "1"}, owner=OWNER)
    assert shown(rig) == ({"a": "1", "b": "2"}, OWNER, 1)

    rig.do("queue_settings", queue="q", lease_ms=5_000)
    rig.reopen()
    assert shown(rig) == ({"a": "1", "b": "2"}, OWNER, 2)

    rig.do("queue_settings", queue="q", lease_ms=5_000, labels={}, owner=None)
    assert shown(rig) == ({}, None, 3)


def test_a_change_that_changes_nothing_leaves_the_revision_and_writes_no_row() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", labels={"b": "2", "a": "1"}, owner=OWNER)
    before = rig.rows()

    reply = rig.do("queue_settings", queue="q", labels={"a": "1", "b": "2"}, owner=OWNER)

    assert (reply["created"], reply["revision"], rig.rows()) == (False, 1, before)


def test_a_pause_is_a_change_too() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q")
    rig.do("queue_pause", queue="q")
    rig.do("queue_pause", queue="q")
    rig.do("queue_resume", queue="q")

    assert shown(rig) == ({}, None, 3)


CHANGED = {"field": "if_match", "revision": 2}


@pytest.mark.parametrize("verb", ["queue_settings", "queue_delete"])
@pytest.mark.parametrize(
    ("condition", "details"),
    [
        ({"if_match": 1}, CHANGED),
        ({"if_match": 0}, CHANGED),
        ({"if_match": 1, "if_owner": "u1"}, CHANGED),
        ({"if_match": 2, "if_owner": "u2"}, {"field": "if_owner", "owner": "u1"}),
        ({"if_match": 2, "if_owner": "u1"}, None),
        ({"if_owner": "u1"}, None),
    ],
)
def test_a_record_changes_only_for_who_has_seen_it(verb: str, condition: Json, details: Json | None) -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", owner=OWNER)
    rig.do("queue_settings", queue="q", lease_ms=1_000)

    if details is None:
        rig.do(verb, queue="q", **condition)
    else:
        assert rig.refused(verb, queue="q", **condition) == (412, "PRECONDITION_FAILED", details)


def test_a_new_record_belongs_to_nobody_so_that_any_owner_may_make_it() -> None:
    rig = Rig()
    rig.push("used")

    assert rig.do("queue_settings", queue="used", owner=OWNER, if_match=0, if_owner="u1")["created"]
    assert rig.do("queue_settings", queue="q", owner=OWNER, if_owner="u1")["created"]
    missing = (412, "PRECONDITION_FAILED", {"field": "if_match", "revision": 0})
    assert rig.refused("queue_settings", queue="other", if_match=1) == missing


def test_a_queue_that_nobody_declared_is_not_deleted_for_an_owner() -> None:
    rig = Rig()
    rig.push()

    details = {"field": "if_owner", "owner": None}
    assert rig.refused("queue_delete", queue="q", force=True, if_owner="u1") == (412, "PRECONDITION_FAILED", details)
    rig.do("queue_delete", queue="q", force=True, if_match=0)


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"labels": {"a b": "1"}}, 400, "labels"),
        ({"labels": {"a:b": "1"}}, 400, "labels"),
        ({"labels": {"": "1"}}, 400, "labels"),
        ({"labels": {"a\n": "1"}}, 400, "labels"),
        ({"labels": {"k" * 318: "1"}}, 400, "labels"),
        ({"labels": {"a": "v" * 257}}, 400, "labels"),
        ({"labels": {f"k{number}": "" for number in range(limits.LABELS_MAX + 1)}}, 400, "labels"),
        ({"labels": {"a": 1}}, 422, "labels"),
        ({"labels": None}, 422, "labels"),
        ({"owner": {"uid": ""}}, 400, "owner.uid"),
        ({"owner": {"uid": "u" * 129}}, 400, "owner.uid"),
        ({"owner": {"uid": "u", "name": "x"}}, 400, "owner.name"),
        ({"owner": {"ref": "x"}}, 422, "owner.uid"),
        ({"if_match": -1}, 400, "if_match"),
        ({"if_match": "1"}, 422, "if_match"),
        ({"if_owner": ""}, 400, "if_owner"),
    ],
)
def test_bad_declarations_are_refused_by_name(fields: Json, status: int, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_request(encode({"cmd": "queue_settings", "queue": "q", **fields}))

    assert caught.value.status == status
    assert caught.value.details is not None
    assert str(caught.value.details["field"]).startswith(field)


@pytest.mark.parametrize(
    ("text", "field"),
    [(b'"labels": {"a": "1", "a": "2"}', "labels.a"), (b'"owner":{"uid":"a","uid":"b"}', "owner.uid")],
)
def test_a_key_that_stands_twice_is_refused(text: bytes, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_request(b'{"cmd":"queue_settings","queue":"q",' + text + b"}")

    assert (caught.value.status, caught.value.details) == (400, {"field": field})
