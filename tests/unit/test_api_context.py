"""The header `traceparent`: which texts are a context, and how the jobs of a push come to carry it."""

import msgspec
import pytest

from rustqueue.api import context
from rustqueue.model import limits

OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MEMBER = f'"traceparent":"{OWN}"'.encode()


@pytest.mark.parametrize("text", [OWN, "01" + OWN[2:], f"cc{OWN[2:]}-more", f"01{OWN[2:]}-"])
def test_contexts_of_this_and_of_later_versions_are_taken(text: str) -> None:
    assert context.context_of({"traceparent": text}) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        OWN.upper(),
        "ff" + OWN[2:],
        f"{OWN}-more",
        f"01{OWN[2:]}more",
        f'01{OWN[2:]}-","queue":"other',
        f"01{OWN[2:]}-\\",
        f"01{OWN[2:]}-\u00fc",
        f"01{OWN[2:]}-" + "x" * limits.TRACEPARENT_BYTES_MAX,
        OWN.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        OWN.replace("b7ad6b7169203331", "0" * 16),
        OWN.replace("-", "_"),
    ],
)
def test_what_is_no_context_is_passed_over(text: str) -> None:
    assert context.context_of({"traceparent": text}) is None
    assert context.context_of({}) is None


@pytest.mark.parametrize(
    ("body", "carrying"),
    [
        (b'{"name":"n","data":1}', b"{%b," % MEMBER + b'"name":"n","data":1}'),
        (b' \n{ "name": "n"}\n', b"{%b," % MEMBER + b'"name": "n"}'),
        (b'{"data":{"traceparent":"theirs"}}', b"{%b," % MEMBER + b'"data":{"traceparent":"theirs"}}'),
        (
            b'[{"name":"a"}, {"name":"b","traceparent":"t"} ]',
            b"[{%b," % MEMBER + b'"name":"a"},{"name":"b","traceparent":"t"}]',
        ),
        (b"[{},7]", b"[{},7]"),
    ],
)
def test_jobs_carry_the_context_of_their_request(body: bytes, carrying: bytes) -> None:
    assert context.with_context(body, OWN) == carrying


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"n","traceparent":"own"}',
        b'{"name":"n","traceparent":null}',
        b'{"name":"n","options":{"traceparent":"own"}}',
        b'{"traceparent"',
        b'{"options":{"traceparent":"own","x":{{{}',
        b"{}",
        b"{ }",
        b"7",
        b"",
        b'[{"name":"n"}],"receipt":true',
        b'[{"name":"n"}]}{"cmd":"pull"',
        b"[" * 9_000 + b"]" * 9_000,
    ],
)
def test_what_names_one_and_what_is_no_job_stays_as_it_is(body: bytes) -> None:
    assert context.with_context(body, OWN) == body


def test_a_body_does_not_grow_beyond_its_limit() -> None:
    text = b'{"name":"n","data":"%b"}' % (b"x" * (limits.BODY_BYTES_MAX - 30))

    assert context.with_context(text, OWN) == text


def test_a_batch_of_the_largest_size_carries_it_in_each_job() -> None:
    body = msgspec.json.encode([{"name": "n", "data": number} for number in range(limits.BATCH_JOBS_MAX)])

    jobs = msgspec.json.decode(context.with_context(body, OWN))

    assert jobs == [{"traceparent": OWN, "name": "n", "data": number} for number in range(limits.BATCH_JOBS_MAX)]
