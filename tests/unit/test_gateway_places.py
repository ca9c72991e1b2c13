"""Numbers in refusals: which item of a batch, which operation of a transaction."""

from typing import Any

import pytest

from rustqueue.gateway.places import as_one, placed
from rustqueue.model.errors import Conflict, NotFound, ParseError, ValidationFailed
from rustqueue.model.replies import Done, Refused


@pytest.mark.parametrize(
    ("field", "numbers"),
    [
        ("jobs[7].options.priority", {"index": 7}),
        ("jobs[0]", {"index": 0}),
        ("items[12].id", {"index": 12}),
        ("ids[3]", {"index": 3}),
        ("operations[2].cmd", {"operation": 2}),
        ("operations[2].jobs[5].name", {"operation": 2, "index": 5}),
        ("operations[4]", {"operation": 4}),
        ("tags[3]", {}),
        ("jobs", {}),
        ("data.jobs[1]", {}),
    ],
)
def test_a_field_with_a_place_says_its_number_besides(field: str, numbers: dict[str, int]) -> None:
    assert placed(ValidationFailed("wrong", field, limit=9)).details == {"field": field, "limit": 9, **numbers}


def test_what_the_error_says_itself_stays() -> None:
    assert placed(ValidationFailed("wrong", "jobs[1]", index=5)).details == {"field": "jobs[1]", "index": 5}
    assert placed(ParseError("broken")).details is None


@pytest.mark.parametrize(
    ("refusal", "status"), [(NotFound.job("x"), 409), (Conflict.duplicate("k"), 409), (ValidationFailed("wrong"), 400)]
)
def test_a_transaction_is_there_whatever_is_missing(refusal: Any, status: int) -> None:
    whole = as_one(Refused.of(refusal))
    assert isinstance(whole, Refused)
    assert (whole.status, whole.error) == (status, Refused.of(refusal).error)
    assert as_one(Done()) == Done()
