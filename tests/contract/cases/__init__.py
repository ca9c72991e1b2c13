"""All cases, by name. A module holds those of one part of the contract."""

from typing import Final

from tests.contract.cases import jobs, life, lines, queues
from tests.contract.table import Case

CASES: Final[dict[str, Case]] = {**jobs.CASES, **queues.CASES, **life.CASES, **lines.CASES}
