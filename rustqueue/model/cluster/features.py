"""Feature levels: what all members of a cluster must be able to do before any of them may ask for it.

It must not know members or logs. A release that adds a command, a row format or a meaning raises `FEATURE_LEVEL` by one
and names the new commands in `LEVEL_OF_COMMAND`. Until the log says that the level is in force (`FeatureLevel`), none
of them is proposed, so that the program of the release before can take any node over again; afterwards it refuses to
start on that state. Invariant: the level of a state only grows.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from rustqueue.model.errors import Unavailable

FEATURE_LEVEL: Final = 1
"""The highest level that this program can apply."""

FIRST_LEVEL: Final = 1
"""The level of a state whose log has never said another one."""

LEVEL_OF_COMMAND: Final[Mapping[str, int]] = {}
"""From which level on a command may be proposed, by its tag; those that are not here belong to the first level."""


class ProgramTooOld(Exception):
    """The state, or an entry of the log, needs a newer program than this one. Nothing was changed."""

    def __init__(self, level: int, version: str, where: str) -> None:
        super().__init__(
            f"{where} has feature level {level}, this program knows {FEATURE_LEVEL}: start RustQueue {version} or newer"
        )
        self.level = level
        self.version = version


def too_early(command: Struct, level: int) -> Unavailable | None:
    """Why a command may not be proposed yet, while `level` is in force."""
    tag = str(command.__struct_config__.tag)
    needed = LEVEL_OF_COMMAND.get(tag, FIRST_LEVEL)
    if needed <= level:
        return None
    text = f"'{tag}' needs a newer version on all members of the cluster (feature level {needed}); nothing was changed"
    return Unavailable("FEATURE_NOT_ACTIVE", text, {"level": needed})
