"""Rows that no question and answer can show, and the tests that show them; or why there is nothing to show."""

from typing import Final

TESTS: Final[dict[str, str]] = {}
"""Row -> tests, with commas between, as `file::function` below `tests/`."""

NOT_SHOWN: Final[dict[str, str]] = {}
"""Row -> the reason."""
