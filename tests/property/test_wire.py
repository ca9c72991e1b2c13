"""The one door for bytes: whatever comes, it is a request or an error of ours; payloads pass byte for byte."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rustqueue.model import wire
from rustqueue.model.commands import Ack, PushJobs, RunTransaction, Write
from rustqueue.model.errors import ApiError
from tests.property.scripts import INTERNAL, Script, steps

LINES = [
    b'{"cmd":"push","queue":"q","name":"n","data":{"a":[1,2]},"priority":3,"tags":["t"],"options":{"lifo":true}}',
    b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"n","data":"x"},{"name":"m","data":{},"delay_ms":5}]}',
    b'{"cmd": "pull", "queues": [{"queue": "a", "weight": 3}], "count": 5, "request_id": "r"}',
    b'{"cmd":"ack_batch","items":[{"id":"x","result":{"a":1},"attempt_token":"t"}]}',
    b'{"cmd":"dlq_retry","queue":"q","filter":{"name":"n","before":"2026-01-01T00:00:00Z"},"rate_per_s":5}',
    b'{"cmd":"queue_settings","queue":"q","defaults":{"priority":1},"retention":{"dlq":{"count":1}},"mode":"hold"}',
    b'{"cmd":"job_list","metadata":{"k":"v"},"created_after":"2026-01-01T00:00:00+01:00","limit":5}',
    b'{"cmd":"fail","id":"custom:q:x","error":"b\\u00f6se"}',
]
PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\ud800",
    b"\xff",
    b"null",
    b"1e999",
    b" ",
    b'"name":"n",',
    b"9" * 30,
]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


CODES = {("PARSE_ERROR", 400), ("VALIDATION_ERROR", 400), ("VALIDATION_ERROR", 422), ("UNKNOWN_COMMAND", 400)}


def decoded(line: bytes) -> Any:
    """The request, or the refusal; anything else that is raised fails the test."""
    try:
        return wire.decode_request(line)
    except ApiError as refusal:
        error = refusal
    assert (error.code, error.status) in CODES
    return error


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_refused_in_our_words(line: bytes) -> None:
    assert isinstance(decoded(line), ApiError)


@settings(max_examples=300)
@given(
    line=st.sampled_from(LINES),
    edits=st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 12), st.sampled_from(PIECES) | st.binary(max_size=3)), max_size=4
    ),
)
def test_a_damaged_line_is_a_request_or_refused_in_our_words(line: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for place, cut, piece in edits:
        place %= len(line) + 1
        line = line[:place] + piece + line[place + cut :]

    request = decoded(line)

    if not isinstance(request, ApiError):
        assert msgspec.json.decode(line)["cmd"] == line_tag(request)


def line_tag(request: Any) -> Any:
    if isinstance(request, PushJobs):
        return "push" if request.single else "push_batch"
    return request.__struct_config__.tag


@given(step=steps)
def test_a_command_survives_its_way_through_the_log(step: tuple[str, int, int]) -> None:
    command = Script().asked(step if step[0] not in INTERNAL else ("push", *step[1:]))
    line = msgspec.json.encode(command)
    request: Any = wire.decode_request(line)

    assert isinstance(request, PushJobs | RunTransaction | Write)
    assert plainly(wire.decode_logged(line)) == plainly(request)


def plainly(request: Any) -> Any:
    return msgspec.json.encode(msgspec.to_builtins(request, enc_hook=bytes, builtin_types=(bytes,)), enc_hook=repr)


spaces = st.sampled_from(["", " ", "  ", "\t", " \r "])


@settings(max_examples=200)
@given(
    value=values,
    gaps=st.lists(spaces, min_size=8, max_size=8),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_a_payload_passes_byte_for_byte_in_any_spelling(
    value: Any, gaps: list[str], escaped: bool, indent: int | None
) -> None:
    payload = json.dumps(value, ensure_ascii=escaped, indent=indent)
    try:
        expected = payload.encode()
    except UnicodeEncodeError:
        return
    one, two, three, four, five, six, seven, eight = gaps
    head = f'{{{one}"cmd"{two}:{three}"push",{four}"queue":"q","name":"n","data":{five}'
    request = decoded(head.encode() + expected + f"{six}}}{seven}".encode())
    batch_head = f'{{"cmd":{one}"push_batch",{two}"queue":"q","jobs":[{{"name"{three}:"n",{four}"data":{five}'
    batch = decoded(batch_head.encode() + expected + f"{six}}}{seven}]}}{eight}".encode())
    ack = decoded(f'{{"cmd":"ack",{one}"id":"x","result":{two}'.encode() + expected + b"}")

    if isinstance(request, ApiError):
        # Half a surrogate pair is no text, and numbers beyond what a float can hold are no numbers.
        assert isinstance(batch, ApiError)
        return
    assert isinstance(request, PushJobs)
    assert isinstance(batch, PushJobs)
    assert isinstance(ack, Ack)
    assert [job.data for job in request.jobs + batch.jobs] == [expected, expected]
    assert isinstance(ack.result, msgspec.Raw)
    assert bytes(ack.result) == expected


OBJECTS: list[tuple[str, list[tuple[str, str]], str]] = [
    (
        "{}",
        [("cmd", '"push"'), ("queue", '"q"'), ("name", '"n"'), ("data", '{"data":1,"data":2}'), ("ttl_ms", "5")],
        "",
    ),
    ('{{"cmd":"push_batch","queue":"q","jobs":[{}]}}', [("name", '"n"'), ("data", "{}")], "jobs."),
    (
        '{{"cmd":"push_batch","queue":"q","jobs":[{{"name":"m","data":1}},{}]}}',
        [("name", '"n"'), ("data", "[]")],
        "jobs.",
    ),
    ('{{"cmd":"push_batch","queue":"q","jobs":[{}]}}', [("name", '"n"'), ("lifo", "null"), ("data", "1")], "jobs."),
    ("{}", [("cmd", '"push_batch"'), ("queue", '"q"'), ("jobs", '[{"name":"n","data":1}]'), ("request_id", '":"')], ""),
    ("{}", [("cmd", '"ack"'), ("id", '"x"'), ("result", '":"'), ("attempt_token", '":"'), ("cancelled", "false")], ""),
    ('{{"cmd":"ack_batch","items":[{}]}}', [("id", '"x"'), ("result", '{"id":1}')], "items."),
    (
        '{{"cmd":"push","queue":"q","name":"n","options":{}}}',
        [("priority", "1"), ("metadata", '{"a":1,"a":2}')],
        "options.",
    ),
    ('{{"cmd":"dlq_retry","queue":"q","filter":{}}}', [("name", '"n"'), ("error_contains", '":"')], "filter."),
]


def spelled(key: str, escaped: int) -> str:
    """A key with one character as an escape, or none."""
    if escaped < 0:
        return f'"{key}"'
    place = escaped % len(key)
    return f'"{key[:place]}\\u{ord(key[place]):04x}{key[place + 1 :]}"'


@settings(max_examples=300)
@given(
    which=st.sampled_from(OBJECTS),
    twice=st.integers(0, 9),
    place=st.integers(0, 9),
    escapes=st.lists(st.integers(-6, 8), min_size=7, max_size=7),
    gaps=st.lists(spaces, min_size=14, max_size=14),
)
def test_a_key_that_stands_twice_is_refused_in_any_spelling(
    which: tuple[str, list[tuple[str, str]], str], twice: int, place: int, escapes: list[int], gaps: list[str]
) -> None:
    frame, members, prefix = which
    again = members[twice % len(members)]

    def text(pairs: list[tuple[str, str]]) -> bytes:
        parts = [
            f"{gaps[number * 2]}{spelled(key, escapes[number])}{gaps[number * 2 + 1]}:{gaps[number]}{value}"
            for number, (key, value) in enumerate(pairs)
        ]
        return frame.format("{" + ",".join(parts) + "}").encode()

    assert not isinstance(decoded(text(members)), ApiError)
    doubled = [*members]
    doubled.insert(place % (len(members) + 1), again)
    with pytest.raises(ApiError) as caught:
        wire.decode_request(text(doubled))
    assert (caught.value.status, caught.value.code) == (400, "VALIDATION_ERROR")
    assert caught.value.details == {"field": prefix + again[0]}
