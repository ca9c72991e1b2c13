"""Where only some words are good, an error says which: read off the types, wherever the set stands."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from rustqueue.model.mistakes import choices
from rustqueue.model.mistakes.decoding import api_error


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
    assert choices.allowed(Turn, "number") == []
    assert choices.allowed(Turn, "nowhere") == []
    assert choices.allowed(Turn, "several") == []
    assert choices.allowed(Turn, "") == []
