"""What an error says: the field, what may stand there, read off the types, and what stood there instead."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from rustqueue.model import limits
from rustqueue.model.errors import ApiError
from rustqueue.model.mistakes import choices
from rustqueue.model.mistakes.decoding import api_error
from rustqueue.model.mistakes.places import place_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Left(Struct, tag_field="cmd", tag="left", forbid_unknown_fields=True):
    far: Literal["near", "away"] = "near"


class Right(Struct, tag_field="cmd", tag="right", forbid_unknown_fields=True):
    steep: Annotated[Literal["up", "down"], Meta(description="a slope")] | None = None


class Turn(Struct, tag_field="cmd", tag="turn"):
    colour: Colour = Colour.RED
    several: Annotated[list[Colour | None], Meta(max_length=3)] = []
    by_name: dict[str, Literal["a", "b"]] = {}
    turns: list[Left | Right] = []
    number: int = 0
    share: Annotated[int, Meta(ge=0, le=100)] | None = None
    least: Annotated[int, Meta(ge=1)] = 1
    name: Annotated[str, Meta(min_length=1, max_length=5)] | int = ""
    sizes: Annotated[list[Annotated[int, Meta(le=9)]], Meta(min_length=1, max_length=2)] | None = None
    marks: Annotated[
        dict[
            Annotated[str, Meta(pattern="^[a-z]+$", max_length=9, description="a text of 1 to 9 small letters")],
            Annotated[str, Meta(max_length=3)],
        ],
        Meta(max_length=2),
    ] = {}
    plain_keys: dict[Annotated[str, Meta(max_length=4)], int] = {}
    sure: bool = False
    ratio: float = 0


KINDS = choices.by_tag(Left | Right | Turn)
_turn = msgspec.json.Decoder(Turn)


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        (b'{"cmd":"turn","colour":"pink"}', "colour", ["red", "blue"]),
        (b'{"colour":"","cmd":"turn"}', "colour", ["red", "blue"]),
        (b'{"cmd":"turn","several":["red","pink"]}', "several[1]", ["red", "blue"]),
        (b'{"cmd":"turn","by_name":{"x.y":"c"}}', "by_name[...]", ["a", "b"]),
        (b'{"cmd":"turn","turns":[{"cmd":"left"},{"cmd":"ahead"}]}', "turns[1].cmd", ["left", "right"]),
        (b'{"cmd":"turn","turns":[{"cmd":"left","far":"x"}]}', "turns[0].far", ["away", "near"]),
        (b'{"cmd":"turn","turns":[{"cmd":"right","steep":"x"}]}', "turns[0].steep", ["down", "up"]),
    ],
)
def test_a_closed_set_is_told(line: bytes, field: str, words: list[str]) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        _turn.decode(line)
    told = api_error(caught.value, choices.meant(line, KINDS))
    assert (told.status, told.message, told.details) == (
        400,
        f"Validation error: '{field}' must be one of {', '.join(words)}",
        {"field": field, "allowed": words},
    )


@pytest.mark.parametrize(
    "line",
    [
        b'{"cmd":"turn","colour":"pink",',
        b'{"cmd":"fly","colour":"pink"}',
        b'{"colour":"pink","cmd":7}',
        b'{"cmd":"turn"}',
    ],
)
def test_an_error_says_the_field_even_where_the_request_cannot_be_told(line: bytes) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(b'{"cmd":"turn","colour":"pink"}', type=Turn)
    told = api_error(caught.value, choices.meant(line, {kind: KINDS[kind] for kind in ("left", "right")}))
    assert (told.status, told.details) == (400, {"field": "colour"})


def test_what_is_no_closed_set_has_no_words() -> None:
    assert choices.allowed(place_of(Turn, "number")) == []
    assert choices.allowed(place_of(Turn, "nowhere")) == []
    assert choices.allowed(place_of(Turn, "several")) == []
    assert choices.allowed(place_of(Turn, "")) == []


WHOLE_SHARE = "'share' must be a whole number from 0 to 100"
MARK = "a key of 'marks' must be a text of 1 to 9 small letters"


@pytest.mark.parametrize(
    ("members", "message", "field", "limit"),
    [
        (b'"share":101', f"{WHOLE_SHARE}, not 101", "share", 100),
        (b'"share":-1', f"{WHOLE_SHARE}, not -1", "share", 0),
        (b'"share": 1000000000000000000000000000000', f"{WHOLE_SHARE}, not 1{'0' * 30}", "share", 100),
        (b'"share":1' + b"0" * 60, WHOLE_SHARE, "share", 100),
        (b'"least":0', "'least' must be a whole number of at least 1, not 0", "least", 1),
        (b'"name":""', "'name' must be a text of 1 to 5 characters or a whole number, not 0", "name", 1),
        (b'"name":"secret"', "'name' must be a text of 1 to 5 characters or a whole number, not 6", "name", 5),
        (b'"sizes":[]', "'sizes' must be a list of 1 to 2 items, not 0", "sizes", 1),
        (b'"sizes":[1,2,3]', "'sizes' must be a list of 1 to 2 items, not 3", "sizes", 2),
        (b'"sizes":[1,10]', "'sizes[1]' must be a whole number of at most 9, not 10", "sizes[1]", 9),
        (b'"marks":{"a":"","b":"","c":""}', "'marks' must be an object of at most 2 keys, not 3", "marks", 2),
        (b'"marks":{"a":"four"}', "'marks[...]' must be a text of at most 3 characters", "marks[...]", 3),
        (b'"marks":{"abcdefghij":""}', f"{MARK}, not 'abcdefghij'", "marks", 9),
        (b'"marks":{"a":"","' + b"b" * 41 + b'":""}', f"{MARK}, not one of 41 characters", "marks", 9),
        (
            b'"plain_keys":{"a b c":1}',
            "a key of 'plain_keys' must be a text of at most 4 characters, not 'a b c'",
            "plain_keys",
            4,
        ),
        # Of two that stand under one key the decoder names the first, and the text is asked for the last.
        (b'"share":101,"share":5', WHOLE_SHARE, "share", 100),
    ],
)
def test_a_limit_is_told_with_what_was_given(members: bytes, message: str, field: str, limit: int) -> None:
    told = mistake(b'{"cmd":"turn",%b}' % members)

    assert (told.status, told.message, told.details) == (
        400,
        f"Validation error: {message}",
        {"field": field, "limit": limit},
    )


def test_a_key_is_told_by_its_grammar() -> None:
    told = mistake(b'{"cmd":"turn","marks":{"good":"", "a b":""}}')

    assert (told.status, told.message, told.details) == (
        400,
        f"Validation error: {MARK}, not 'a b'",
        {"field": "marks"},
    )


@pytest.mark.parametrize(
    ("line", "message", "field"),
    [
        (b'{"cmd":"turn","share":"5"}', f"{WHOLE_SHARE}, not a text", "share"),
        (b'{"cmd":"turn","share":1.5}', f"{WHOLE_SHARE}, not a number with a fraction", "share"),
        (b'{"cmd":"turn","least":null}', "'least' must be a whole number of at least 1, not null", "least"),
        (b'{"cmd":"turn","sure":1}', "'sure' must be true or false, not a number", "sure"),
        (b'{"cmd":"turn","ratio":true}', "'ratio' must be a number, not true or false", "ratio"),
        (b'{"cmd":"turn","sizes":{}}', "'sizes' must be a list of 1 to 2 items, not an object", "sizes"),
        (b'{"cmd":"turn","marks":[]}', "'marks' must be an object of at most 2 keys, not a list", "marks"),
        (b'{"cmd":"turn","turns":[7]}', "'turns[0]' must be an object, not a number", "turns[0]"),
        (b'{"cmd":"turn","colour":7}', "'colour' must be one of red, blue, not a number", "colour"),
        (
            b'{"cmd":"turn","turns":[{"cmd":"right","steep":7}]}',
            "'turns[0].steep' must be one of down, up, not a number",
            "turns[0].steep",
        ),
        (b"[]", "'request' must be an object, not a list", "request"),
    ],
)
def test_a_wrong_type_is_told_by_what_is_wanted(line: bytes, message: str, field: str) -> None:
    told = mistake(line)

    assert (told.status, told.message, told.details) == (422, f"Validation error: {message}", {"field": field})


@pytest.mark.parametrize(
    ("line", "name", "advice"),
    [
        (b'{"cmd":"turn","turns":[{"cmd":"left","fare":1}]}', "turns[0].fare", "; did you mean 'turns[0].far'?"),
        # `steep` belongs to the other kind of turn.
        (b'{"cmd":"turn","turns":[{"cmd":"left","steap":1}]}', "turns[0].steap", ""),
        (b'{"cmd":"turn","turns":[{"cmd":"left","x":1}]}', "turns[0].x", ""),
        (b'{"cmd":"turn","turns":[{"cmd":"left","' + b"far" * 100 + b'":1}]}', f"turns[0].{'far' * 33}f", ""),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_known_one(line: bytes, name: str, advice: str) -> None:
    told = mistake(line)

    assert (told.status, told.message, told.details) == (
        400,
        f"Validation error: unknown field '{name}'{advice}",
        {"field": name},
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"share":101}', "'share' must be a whole number of at most 100"),
        (b'{"least":0}', "'least' must be a whole number of at least 1"),
        (b'{"least":"0"}', "'least' must be a whole number, not a text"),
        (b'{"name":1.5}', "'name' must be a whole number or a text, not a number with a fraction"),
        (b'{"name":"secret"}', "'name' must be a text of at most 5 characters"),
        (b'{"sizes":[]}', "'sizes' must be a list of at least 1 items"),
        (b'{"marks":{"A":""}}', "a key of 'marks' must be a text"),
        (b'{"turns":[{"cmd":"left","fare":1}]}', "unknown field 'turns[0].fare'"),
    ],
)
def test_without_the_kind_the_decoder_tells_what_it_knows(line: bytes, message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        _turn.decode(line)

    assert api_error(caught.value).message == f"Validation error: {message}"


def test_a_long_name_of_a_command_is_cut() -> None:
    told = mistake(b'{"cmd":"%b"}' % (b"turn" * 1_000))

    assert (told.code, told.message) == ("UNKNOWN_COMMAND", f"Unknown command: {'turn' * 25}")


def test_a_long_text_is_not_read_again() -> None:
    long = b'{"cmd":"turn","share":101,"several":["%b"]}' % (b"x" * limits.MISTAKE_TEXT_BYTES_MAX)

    assert mistake(long).message == f"Validation error: {WHOLE_SHARE}"


def mistake(line: bytes) -> ApiError:
    with pytest.raises(msgspec.ValidationError) as caught:
        _turn.decode(line)
    return api_error(caught.value, Turn, line)
