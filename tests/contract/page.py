"""docs/contract.md, made from the tables. `python -m tests.contract.page` rewrites it."""

from pathlib import Path
from typing import Final

from tests.contract import elsewhere
from tests.contract.agree import ADDED, CHANGED
from tests.contract.cases import CASES
from tests.contract.rows import SECTIONS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "contract.md"
HEAD: Final = """\
# Rows of the contract

Made by `python -m tests.contract.page` from the tables in `tests/contract`; a test holds it against them.

Each row of the contract of the original (A), of the second system (B), of our decisions (D) and of what clients and
receivers do wrong (Faults) has a case, a test of another kind, or a reason. Names without a path are cases: `make
contract` plays them against one node, through the followers of a cluster, and over the death of all nodes in the middle
of each; `make test` the first two. `make contract-original` plays those that are not marked with † against the original
itself, and both must agree but for what is listed at the end.
"""


def text() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, rows in SECTIONS.items():
        parts.append(f"\n## {section}\n\n| row | shown by |\n|---|---|\n")
        parts += [f"| {row} | {_shown(f'{section} {row}')} |\n" for row in rows.split(", ")]
    parts.append("\n## What the original's answers lack\n\n| key | decision |\n|---|---|\n")
    parts += [f"| `{key}` | {row} |\n" for key, row in sorted(ADDED.items())]
    parts += ["\n## Values that differ\n\n| key | ours | the original's | decision |\n|---|---|---|---|\n"]
    parts += [f"| `{key}` | {ours!r} | {theirs!r} | {row} |\n" for key, (ours, theirs, row) in sorted(CHANGED.items())]
    parts.append("\n## Answers that differ\n\n| case | step | decision |\n|---|---|---|\n")
    for name, case in CASES.items():
        steps = [(at, step.was.decision) for at, step in enumerate(case.steps, start=1) if step.was is not None]
        parts += [f"| {name} | {at} | {decision} |\n" for at, decision in steps]
    return "".join(parts)


def _shown(row: str) -> str:
    cases = [f"{name}{'†' * bool(case.differs)}" for name, case in CASES.items() if row in case.rows.split(", ")]
    tests = elsewhere.TESTS.get(row, "")
    told = cases + [f"`{test}`" for test in tests.split(", ") if test]
    return "; ".join(told) or f"not shown: {elsewhere.NOT_SHOWN[row]}"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
