"""Bytes to answers, literally, in whatever pieces they arrive."""

import pytest

from rustqueue.client import NetworkError
from rustqueue.client.call import Answer, Parser
from rustqueue.client.http11 import HttpParser
from rustqueue.client.lines import LineParser


def fed_in_pieces(parser: Parser, data: bytes, size: int) -> list[Answer]:
    answers = []
    for start in range(0, len(data), size):
        answers += parser.feed(data[start : start + size])
    return answers


LINES = (
    b'{"ok":true,"id":"j1","request_id":7}\n'
    b'{"request_id":8,"ok":true}\n'
    b'{"ok":true,"job":{"data":{"request_id":1}}}\n'
    b'{"ok":true,"text":"\xc3\xa9,\\"request_id\\":9}","request_id":"text"}\n'
    b"not json\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1_000])
def test_lines_carry_the_id_of_their_request(size: int) -> None:
    parser = LineParser()
    # The ids inside payloads are not taken, and an id that is no number is not one of ours.
    assert [(answer.request_id, answer.status) for answer in fed_in_pieces(parser, LINES, size)] == [
        (7, None),
        (8, None),
        (None, None),
        (None, None),
        (None, None),
    ]
    assert parser.end() == []


ANSWERS = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Type: application/json\r\n\r\n{"ok":true}'
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\nCONTENT-LENGTH:2\r\n\r\n{}"
    b"HTTP/1.1 204 No Content\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 3, 50, 1_000])
def test_http_answers_are_cut_out(size: int) -> None:
    assert fed_in_pieces(HttpParser(), ANSWERS, size) == [
        Answer(b'{"ok":true}', 200),
        Answer(b"{}", 429, 3.0),
        Answer(b"", 204),
        Answer(b"abc0123456789", 200),
        Answer(b"", 200),
        Answer(b"", 503, last=True),
    ]


def test_an_http_answer_without_length_lasts_until_the_end() -> None:
    parser = HttpParser()
    assert parser.feed(b"HTTP/1.0 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<p>") == []
    assert parser.feed(b"sorry</p>") == []
    assert parser.end() == [Answer(b"<p>sorry</p>", 502, last=True)]
    assert parser.end() == []


def test_a_connection_of_http_1_0_is_kept_only_when_it_says_so() -> None:
    parser = HttpParser()
    assert parser.feed(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1") == [Answer(b"1", 200, last=True)]
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"
    assert parser.feed(kept) == [Answer(b"1", 200)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "a length that is no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk without a size"),
        (b"x" * 20_000, "no end of its headers"),
    ],
)
def test_what_is_not_http_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(NetworkError, match=reason):
        HttpParser().feed(data)
