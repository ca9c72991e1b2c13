"""The architecture page shows what the code says."""

from pathlib import Path

from rustqueue.machine.transitions import diagram

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_state_diagram_is_the_transition_table() -> None:
    text = PAGE.read_text(encoding="utf-8")

    shown = [block.split("\n```")[0] for block in text.split("```mermaid\n")[1:]]

    assert diagram() in shown


def test_every_package_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    packages = sorted(path.parent.name for path in (PAGE.parents[1] / "rustqueue").glob("*/__init__.py"))

    missing = [name for name in packages if f"`{name}/`" not in text]

    assert missing == []
