"""The next release, as far as upgrades need one: this program with one feature level and one command more.

It is made by changing a copy of the sources, as a developer would: what a release adds stands in `CHANGES`. A place
that is not there any more fails loudly, since then the recipe in decision 0019 has changed as well.
"""

import shutil
from pathlib import Path
from typing import Final

import rustqueue
from rustqueue.model.cluster.features import FEATURE_LEVEL

LEVEL: Final = FEATURE_LEVEL + 1
VERSION: Final = "9.1.0"

CHANGES: Final = (
    ("__init__.py", f'"{rustqueue.__version__}"', f'"{VERSION}"'),
    ("model/cluster/features.py", f"FEATURE_LEVEL: Final = {FEATURE_LEVEL}", f"FEATURE_LEVEL: Final = {LEVEL}"),
    ("model/cluster/features.py", "[str, int]] = {}", f'[str, int]] = {{"queue_mark": {LEVEL}}}'),
    (
        "model/commands.py",
        "PlainCommand = (\n    Pull\n",
        'class QueueMark(Write, frozen=True, kw_only=True, tag="queue_mark"):\n    queue: QueueText\n\n\n'
        "PlainCommand = (\n    QueueMark\n    | Pull\n",
    ),
    ("machine/machine.py", "    QueuePause,\n", "    QueueMark,\n    QueuePause,\n"),
    (
        "machine/machine.py",
        "        case QueuePause():\n",
        "        case QueueMark():\n"
        '            return queues.pause(state, tx, QueuePause(queue=command.queue, mode="hold"))\n'
        "        case QueuePause():\n",
    ),
)


def make(folder: Path) -> Path:
    """A folder to run `python -m rustqueue` in."""
    sources = Path(rustqueue.__file__).parent
    shutil.copytree(sources, folder / "rustqueue", ignore=shutil.ignore_patterns("__pycache__"))
    change(folder)
    return folder


def change(folder: Path) -> None:
    """Make the sources in a folder those of the next release."""
    for name, old, new in CHANGES:
        path = folder / "rustqueue" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has {text.count(old)} places like {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
