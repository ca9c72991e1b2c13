"""From bytes to requests: what is taken, what is refused and under which name."""

import json
from typing import Any

import pytest
from msgspec import Raw

from rustqueue.model import limits, wire
from rustqueue.model.commands import Ack, NewJob, Pull, PushJobs, QueueSet, Tick, WeightedQueue
from rustqueue.model.errors import ApiError
from rustqueue.model.jobs import JobOptions
from rustqueue.model.queries import Get, Health
from rustqueue.model.scan import is_deeper

BACKOFFS = ["decorrelated_jitter", "exponential", "fixed", "linear"]
MODES = ["both", "hold", "normal", "reject"]


def refusal(line: bytes, *, data_required: bool = False) -> tuple[int, str, Any]:
    with pytest.raises(ApiError) as caught:
        wire.decode_request(line, data_required=data_required)
    return caught.value.status, caught.value.code, caught.value.details


def test_push_with_flat_and_nested_options_is_one_normal_form() -> None:
    flat = wire.decode_request(b'{"cmd":"push","queue":"q","name":"n","data":[1],"priority":3,"lifo":true}')
    nested = wire.decode_request(
        b'{"cmd":"push","queue":"q","name":"n","data":[1],"options":{"lifo":true},"priority":3}'
    )

    assert isinstance(flat, PushJobs)
    assert isinstance(nested, PushJobs)
    assert (
        (flat.queue, flat.single, flat.receipt) == (nested.queue, nested.single, nested.receipt) == ("q", True, False)
    )
    assert nested.jobs == [NewJob("n", b"[1]", JobOptions(priority=3, lifo=True))]
    options = flat.jobs[0].options
    assert options is not None
    assert (flat.jobs[0].data, options.priority, options.lifo) == (b"[1]", 3, True)


def test_push_without_data_holds_an_empty_object_where_data_is_optional() -> None:
    line = b'{"cmd":"push","queue":"q","name":"n"}'

    assert wire.decode_request(line) == PushJobs("q", [NewJob("n", b"{}", None)], True)
    assert refusal(line, data_required=True) == (422, "VALIDATION_ERROR", {"field": "data"})
    batch = b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"a","data":null},{"name":"b"}]}'
    assert refusal(batch, data_required=True) == (422, "VALIDATION_ERROR", {"field": "jobs[1].data"})


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":1,"a":2}',
        b'  {"x" :  "\\u00e9\\ud83d\\ude00"}',
        b"1" * 5_000,
        b"-0.00e-999",
        b'"' + "ü:€".encode() * 9 + b'"',
        b'{"name":"n","data":{},"queue":":"}',
        b"[" * 64 + b"]" * 64,
    ],
)
def test_a_payload_passes_byte_for_byte(payload: bytes) -> None:
    expected = [NewJob("n", payload.strip(), None)]

    for head in (
        b'{"cmd":"push","queue":"q","name":"n","data":',
        b'{ "cmd" : "push","queue": "q","name":"n","data":  ',
    ):
        assert wire.decode_request(head + payload + b"}") == PushJobs("q", expected, True)
    for head in (
        b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"n","data":',
        b'{"cmd": "push_batch", "queue": "q", ',
    ):
        tail = b"}]}"
        line = head + payload + tail if b"jobs" in head else head + b'"jobs": [{"name": "n", "data": ' + payload + tail
        assert wire.decode_request(line) == PushJobs("q", expected, False)


@pytest.mark.parametrize(
    "head", ["", '"request_id":"r",', '"idempotency_key":"a:b",', '"request_id":null,"receipt":true,']
)
@pytest.mark.parametrize(
    "last",
    [
        '"data":1',
        '"data":{"a":":"}',
        '"lifo":true',
        '"data":1,"lifo":null',
        '"data":1,"options":{"priority":3}',
        '"ttl_ms":5',
    ],
)
def test_a_batch_is_read_as_its_jobs_alone(head: str, last: str) -> None:
    # Given jobs with and without options, in a batch and alone
    jobs = ['"name":"a","data":{"b":[1]}', f'"name":"c",{last}']
    batch = f'{{"cmd":"push_batch",{head}"queue":"q","jobs":[{{{jobs[0]}}},{{{jobs[1]}}}]}}'.encode()
    alone = [f'{{"cmd":"push","queue":"q",{job}}}'.encode() for job in jobs]
    # When they come in, and when they are read back from the log
    for read in (wire.decode_request, wire.decode_logged):
        # Then it makes no difference
        assert meant(read(batch)) == [job for line in alone for job in meant(read(line))]


def meant(push: object) -> list[tuple[object, ...]]:
    """Name, data and options of each job; flat options come with the fields beside them."""
    assert isinstance(push, PushJobs)
    names = JobOptions.__struct_fields__
    return [(job.name, job.data, job.options and [getattr(job.options, name) for name in names]) for job in push.jobs]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"cmd":"push","queue":"q","name":"n","name":"n"}', "name"),
        (b'{"cmd":"push","queue":"q","name":"n","data":1,"data":2}', "data"),
        (b'{"cmd":"push","queue":"q","name":"n","n\\u0061me":"n"}', "name"),
        (b'{"cmd":"ack","id":"x","id":"abcd","result":1,"attempt_token":"t","cancelled":false}', "id"),
        (b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"12345678","name":"bb"}]}', "jobs.name"),
        (
            b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"ab","name":"b","data":1},{"name":"b","data":1}]}',
            "jobs.name",
        ),
        (b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"a","ttl_ms":null,"data":1,"ttl_ms":null}]}', "jobs.ttl_ms"),
        (
            b'{"cmd":"push_batch","request_id":"\\u003a","queue":"q","jobs":[{"name":"a","data":1,"data":1}]}',
            "jobs.data",
        ),
        (
            b'{"cmd":"push_batch","idempotency_key":"\\u003a","queue":"q","jobs":[{"name":"a","data":1,"data":1}]}',
            "jobs.data",
        ),
        (b'{"cmd":"push_batch","queue":"p","jobs":[],"queue":"q"}', "queue"),
        (b'{"cmd":"push","queue":"q","name":"n","options":{"lifo":true,"lifo":true}}', "options.lifo"),
        (b'{"cmd":"ack_batch","items":[{"id":"a"},{"id":"b" , "id":"b"}]}', "items.id"),
        (b'{"cmd":"pull","queues":[{"queue":"a","weight":1,"weight":1}]}', "queues.weight"),
        (b'{"cmd":"dlq_retry","queue":"q","filter":{"name":"a","name":"a"}}', "filter.name"),
        (b'{"cmd":"queue_settings","queue":"q","retention":{"dlq":{"count":1,"count":1}}}', "dlq.count"),
        (b'{"cmd":"push", "queue":"q","name":"n","queue":"q","data":' + b"1" * 5_000 + b"}", "queue"),
        (b'{"cmd":"push", "queue":"q","name":"n","queue":"q","data":' + b"[" * 60 + b"]" * 60 + b"}", "queue"),
    ],
)
def test_a_key_given_twice_in_our_own_objects_is_refused(line: bytes, field: str) -> None:
    assert refusal(line) == (400, "VALIDATION_ERROR", {"field": field})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", (400, "PARSE_ERROR", None)),
        (b"{", (400, "PARSE_ERROR", None)),
        (b'{"cmd":"push","queue":"q","name":"\xff"}', (400, "PARSE_ERROR", None)),
        (b'{"cmd":"push","queue":"q","name":"n","data":"\xff"}', (400, "PARSE_ERROR", None)),
        (b'{"cmd":"get","id":"\\ud800"}', (400, "PARSE_ERROR", None)),
        (b"[]", (422, "VALIDATION_ERROR", {"field": "request"})),
        (b"{}", (422, "VALIDATION_ERROR", {"field": "cmd"})),
        (b'{"cmd":7}', (422, "VALIDATION_ERROR", {"field": "cmd"})),
        (b'{"cmd":"nope"}', (400, "UNKNOWN_COMMAND", {"field": "cmd"})),
        (b'{"cmd":"!tick"}', (400, "UNKNOWN_COMMAND", {"field": "cmd"})),
        (b'{"cmd":"get"}', (422, "VALIDATION_ERROR", {"field": "id"})),
        (b'{"cmd":"get","id":5}', (422, "VALIDATION_ERROR", {"field": "id"})),
        (b'{"cmd":"get","id":"a","x":1}', (400, "VALIDATION_ERROR", {"field": "x"})),
        (b'{"cmd":"push","queue":"q","name":"n","prio":1}', (400, "VALIDATION_ERROR", {"field": "prio"})),
        (
            b'{"cmd":"push","queue":"q","name":"n","options":{"prio":1}}',
            (400, "VALIDATION_ERROR", {"field": "options.prio"}),
        ),
        (b'{"cmd":"push","queue":"q","name":"a b"}', (400, "VALIDATION_ERROR", {"field": "name"})),
        (b'{"cmd":"push","queue":"q\\u0000","name":"a"}', (400, "VALIDATION_ERROR", {"field": "queue"})),
        (b'{"cmd":"push","queue":"","name":"a"}', (400, "VALIDATION_ERROR", {"field": "queue", "limit": 1})),
        (
            b'{"cmd":"push","queue":"q","name":"n","backoff":"cubic"}',
            (400, "VALIDATION_ERROR", {"field": "backoff", "allowed": BACKOFFS}),
        ),
        (
            b'{"cmd":"push","queue":"q","name":"n","priority":1,"options":{"priority":2}}',
            (400, "VALIDATION_ERROR", {"field": "priority"}),
        ),
        (b'{"cmd":"push","queue":"q","name":"n","run_at":"tomorrow"}', (400, "VALIDATION_ERROR", {"field": "run_at"})),
        (
            b'{"cmd":"push","queue":"q","name":"n","run_at":"2026-01-01T00:00:00Z","delay_ms":1}',
            (400, "VALIDATION_ERROR", {"field": "run_at"}),
        ),
        (
            b'{"cmd":"queue_settings","queue":"q","defaults":{"unique_key":"k"}}',
            (400, "VALIDATION_ERROR", {"field": "defaults.unique_key"}),
        ),
        (
            b'{"cmd":"queue_settings","queue":"q","mode":"off"}',
            (400, "VALIDATION_ERROR", {"field": "mode", "allowed": MODES}),
        ),
        (b'{"cmd":"pull"}', (422, "VALIDATION_ERROR", {"field": "queue"})),
        (b'{"cmd":"pull","queue":"q","queues":[{"queue":"p"}]}', (400, "VALIDATION_ERROR", {"field": "queue"})),
        (b'{"cmd":"pull","queues":[{"queue":"a/b"}]}', (400, "VALIDATION_ERROR", {"field": "queues[0].queue"})),
        (b'{"cmd":"ack_batch"}', (422, "VALIDATION_ERROR", {"field": "items"})),
        (b'{"cmd":"ack_batch","items":[],"ids":[]}', (400, "VALIDATION_ERROR", {"field": "items"})),
        (
            b'{"cmd":"dlq_retry","queue":"q","filter":{"before":"x"}}',
            (400, "VALIDATION_ERROR", {"field": "filter.before"}),
        ),
        (b'{"cmd":"job_list","created_after":"x"}', (400, "VALIDATION_ERROR", {"field": "created_after"})),
    ],
)
def test_what_is_wrong_is_named(line: bytes, expected: tuple[int, str, Any]) -> None:
    assert refusal(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"cmd":"get","id":"a","request_id":7}', Get(id="a", request_id=7)),
        (b'{"cmd":"health"}', Health()),
        (b'{"cmd":"pull","queues":[{"queue":"a","weight":3}]}', Pull(queues=[WeightedQueue("a", 3)])),
        (b'{"cmd":"queue_settings","queue":"q","lease_ms":100}', QueueSet(queue="q", lease_ms=100)),
        (b'{"cmd":"push_batch","queue":"q","jobs":[]}', PushJobs("q", [], False)),
    ],
)
def test_requests_decode_to_their_structs(line: bytes, expected: Any) -> None:
    assert wire.decode_request(line) == expected


def test_both_spellings_of_a_result_reach_the_command() -> None:
    request = wire.decode_request(b'{"cmd":"ack","id":"a","result": {"n": 1} }')

    assert isinstance(request, Ack)
    assert isinstance(request.result, Raw)
    assert bytes(request.result) == b'{"n": 1}'


def number(field: str, value: int, cmd: str = "push") -> bytes:
    own: dict[str, Any] = {
        "push": {"queue": "q", "name": "n"},
        "pull": {"queue": "q"},
        "progress": {"id": "x"},
        "queue_clean": {"queue": "q", "state": "dlq"},
        "job_list": {},
        "dlq": {"queue": "q"},
    }[cmd]
    return json.dumps({"cmd": cmd, **own, field: value}).encode()


DURATIONS = ("delay_ms", "backoff_delay_ms", "max_backoff_ms", "ttl_ms", "timeout_ms")


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        *[(number(field, limits.DURATION_MS_MAX + 1), limits.DURATION_MS_MAX) for field in DURATIONS],
        *[(number(field, -1), 0) for field in DURATIONS],
        *[(number(field, 2**64 - 1), limits.DURATION_MS_MAX) for field in DURATIONS],
        (number("priority", 2**31), limits.PRIORITY_MAX),
        (number("priority", -(2**31) - 1), limits.PRIORITY_MIN),
        (number("max_attempts", 2**32), limits.ATTEMPTS_MAX),
        (number("lease_ms", 99), limits.LEASE_MS_MIN),
        (number("count", 2**32 - 1, "pull"), limits.PULL_COUNT_MAX),
        (number("wait_ms", limits.WAIT_MS_MAX + 1, "pull"), limits.WAIT_MS_MAX),
        (number("progress", 300, "progress"), 255),
        (number("progress", -1, "progress"), 0),
        (number("older_than_ms", 2**63, "queue_clean"), limits.DURATION_MS_MAX),
        (number("limit", 0, "job_list"), 1),
        (number("limit", 1_001, "job_list"), 1_000),
        (number("limit", 1_001, "dlq"), 1_000),
    ],
)
def test_a30_numbers_out_of_range_name_their_limit_and_never_wrap(line: bytes, limit: int) -> None:
    status, code, details = refusal(line)

    assert (status, code, details["limit"]) == (400, "VALIDATION_ERROR", limit)


@pytest.mark.parametrize("field", DURATIONS)
def test_a30_the_longest_duration_is_taken(field: str) -> None:
    request = wire.decode_request(number(field, limits.DURATION_MS_MAX))

    assert isinstance(request, PushJobs)


@pytest.mark.parametrize(
    "options", [{"priority": "5"}, {"max_attempts": 1.5}, {"lifo": 1}, {"tags": "a"}, {"depends_on": [True]}, 5, "x"]
)
def test_a30_options_of_a_wrong_type_are_refused_and_not_dropped(options: Any) -> None:
    line = json.dumps({"cmd": "push", "queue": "q", "name": "n", "options": options}).encode()

    assert refusal(line)[:2] == (422, "VALIDATION_ERROR")


TEXT_LIMITS = {
    "unique_key": limits.UNIQUE_KEY_BYTES_MAX,
    "custom_id": limits.CUSTOM_ID_BYTES_MAX,
    "flow_id": limits.FLOW_ID_BYTES_MAX,
    "group_id": limits.GROUP_ID_BYTES_MAX,
}


@pytest.mark.parametrize("field", TEXT_LIMITS)
def test_text_limits_count_bytes(field: str) -> None:
    limit = TEXT_LIMITS[field]

    def push(text: str) -> bytes:
        return json.dumps({"cmd": "push", "queue": "q", "name": "n", field: text}, ensure_ascii=False).encode()

    assert isinstance(wire.decode_request(push("é" * (limit // 2))), PushJobs)
    assert refusal(push("é" * (limit // 2) + "e")) == (400, "VALIDATION_ERROR", {"field": field, "limit": limit})
    assert refusal(push("e" * (limit + 1))) == (400, "VALIDATION_ERROR", {"field": field, "limit": limit})


@pytest.mark.parametrize(
    ("request_of", "field", "limit"),
    [
        (lambda text: {"cmd": "fail", "id": "x", "error": text}, "error", limits.ERROR_BYTES_MAX),
        (
            lambda text: {"cmd": "fail_batch", "items": [{"id": "x", "error": text}]},
            "items[0].error",
            limits.ERROR_BYTES_MAX,
        ),
        (
            lambda text: {"cmd": "progress", "id": "x", "progress": 1, "message": text},
            "message",
            limits.MESSAGE_BYTES_MAX,
        ),
    ],
)
def test_texts_of_workers_count_bytes(request_of: Any, field: str, limit: int) -> None:
    wire.decode_request(json.dumps(request_of("é" * (limit // 2)), ensure_ascii=False).encode())

    too_long = json.dumps(request_of("é" * (limit // 2 + 1)), ensure_ascii=False).encode()
    assert refusal(too_long) == (400, "VALIDATION_ERROR", {"field": field, "limit": limit})


@pytest.mark.parametrize(("field", "limit"), [("data", limits.DATA_BYTES_MAX), ("metadata", limits.METADATA_BYTES_MAX)])
def test_payloads_have_a_size(field: str, limit: int) -> None:
    def push(size: int) -> bytes:
        return b'{"cmd":"push","queue":"q","name":"n","%b":"%b"}' % (field.encode(), b"x" * (size - 2))

    wire.decode_request(push(limit))
    assert refusal(push(limit + 1)) == (400, "VALIDATION_ERROR", {"field": field, "limit": limit})


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"cmd":"push","queue":"q","name":"n","data":%b}', "data"),
        (b'{"cmd":"push", "queue":"q","name":"n","data":%b}', "data"),
        (b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"n","data":%b}]}', "jobs[0].data"),
        (b'{"cmd":"push","queue":"q","name":"n","metadata":%b}', "metadata"),
        (b'{"cmd":"ack","id":"x","result":%b}', "result"),
        (b'{"cmd":"ack_batch","items":[{"id":"x","result":%b}]}', "items[0].result"),
    ],
)
def test_nesting_has_a_limit(line: bytes, field: str) -> None:
    depth = limits.JSON_DEPTH_MAX
    wire.decode_request(line % (b"[" * depth + b"]" * depth))
    wire.decode_request(line % (b'"' + b"[" * 200 + b'"'))

    assert refusal(line % (b"[" * (depth + 1) + b"]" * (depth + 1))) == (
        400,
        "VALIDATION_ERROR",
        {"field": field, "limit": depth},
    )
    assert refusal(line % (b'{"a":' * 20_000 + b"1" + b"}" * 20_000))[:2] == (400, "VALIDATION_ERROR")


def test_the_same_option_given_both_ways_is_compared_as_a_value() -> None:
    same = b'{"cmd":"push","queue":"q","name":"n","metadata":{"a": 1},"options":{"metadata":{"a":1}}}'

    assert isinstance(wire.decode_request(same), PushJobs)
    assert refusal(same.replace(b'{"a":1}', b'{"a":2}')) == (400, "VALIDATION_ERROR", {"field": "metadata"})


def test_a_logged_command_is_what_the_client_sent() -> None:
    for line in (
        b'{"cmd":"push","queue":"q","name":"n","data":{"a":1},"tags":["t"],"request_id":"r"}',
        b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"n"},{"name":"m","lifo":true}],"receipt":true}',
        b'{"cmd":"queue_pause","queue":"q"}',
    ):
        assert wire.decode_logged(line) == wire.decode_request(line)
    assert wire.decode_logged(wire.encode_command(Tick())) == Tick()


def test_size_of_a_line_is_checked_by_name() -> None:
    wire.check_size(b"1234", "line", 4)
    with pytest.raises(ApiError) as caught:
        wire.check_size(b"12345", "line", 4)

    assert (caught.value.status, caught.value.code, caught.value.details) == (
        413,
        "TOO_LARGE",
        {"field": "line", "limit": 4},
    )


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b'{"a":[{}],"b":[[1]]}', 3),
        (b'["[[[[", {"}": "\\"]]"}]', 2),
        (b"[" * 5, 5),
        (b"[[1]]]]", 2),
        (b"[],[[]],[]", 2),
    ],
)
def test_depth_is_that_of_brackets_outside_strings(text: bytes, depth: int) -> None:
    assert [is_deeper(text, levels) for levels in range(8)] == [depth > levels for levels in range(8)]
