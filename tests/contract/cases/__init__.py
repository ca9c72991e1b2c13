"""All cases, by name. A module holds those of one part of the contract."""

from typing import Final

from tests.contract.cases import (
    clients,
    corners,
    frames,
    heard,
    jobs,
    life,
    lines,
    mistakes,
    queues,
    schedules,
    second_system,
    server,
    surface,
)
from tests.contract.table import Case

PARTS: Final = (
    *(clients, corners, frames, heard, jobs, life, lines, mistakes, queues, schedules, second_system, server, surface),
)
CASES: Final[dict[str, Case]] = {name: case for part in PARTS for name, case in part.CASES.items()}
