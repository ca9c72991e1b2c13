"""Every row of the contract has a case, a test of another kind, or a reason."""

from pathlib import Path

from tests.contract import elsewhere, page
from tests.contract.agree import ADDED, CHANGED
from tests.contract.cases import CASES
from tests.contract.rows import ROWS

TESTS = Path(__file__).resolve().parent.parent


def test_a_case_names_rows_that_there_are() -> None:
    named = {row for case in CASES.values() for row in case.rows.split(", ")}
    elsewhere_too = {*elsewhere.TESTS, *elsewhere.NOT_SHOWN}
    assert sorted((named | elsewhere_too) - set(ROWS)) == []


def test_every_row_has_a_case_a_test_or_a_reason() -> None:
    named = {row for case in CASES.values() for row in case.rows.split(", ")}
    assert [row for row in ROWS if row not in named | {*elsewhere.TESTS, *elsewhere.NOT_SHOWN}] == []
    assert sorted(named & {*elsewhere.NOT_SHOWN}) == []
    assert [row for row, reason in elsewhere.NOT_SHOWN.items() if len(reason) < 20] == []


def test_tests_of_another_kind_are_there() -> None:
    named = [test for tests in elsewhere.TESTS.values() for test in tests.split(", ")]
    assert [test for test in named if not is_there(test)] == []


def test_a_difference_names_its_decision() -> None:
    decisions = {row.removeprefix("D ") for row in ROWS if row.startswith("D ")}
    named = [*ADDED.values(), *(row for *_, row in CHANGED.values())]
    for case in CASES.values():
        named += [step.was.decision for step in case.steps if step.was is not None] + [case.differs] * bool(
            case.differs
        )
    assert sorted(set(named) - decisions) == []


def is_there(test: str) -> bool:
    name, _, function = test.partition("::")
    path = TESTS / name
    return path.is_file() and f"def {function}(" in path.read_text()


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text()
