"""The second system's environment as keys of ours (contract B6), so that its deployments start unchanged.

It must not know what a key does. Invariants: a variable of our own wins over one of these; what has no meaning here is
said, and never stops a start, but for an address that cannot be one.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

ADDRESS: Final = "API_BIND_ADDR"
DATABASE: Final = "DATABASE_URL"
LOG: Final = "RUST_LOG"
LOG_FORMAT: Final = "RUST_LOG_FORMAT"

_LEVELS: Final = frozenset({"trace", "debug", "info", "warn", "error"})
_NO_DATABASE: Final = f"{DATABASE} has no effect: jobs are kept in the node's own store, not in PostgreSQL"


class Meant(NamedTuple):
    """A key, its value as text, and the variable that says so."""

    key: str
    text: str
    variable: str


def meant(environment: Mapping[str, str]) -> Iterator[Meant]:
    """The keys that its variables mean."""
    address = environment.get(ADDRESS)
    if address:
        host, _, port = address.rpartition(":")
        yield Meant("compat.jobs_port", port, ADDRESS)
        yield Meant("compat.jobs_host", host.removeprefix("[").removesuffix("]"), ADDRESS)
    level = level_of(environment.get(LOG, ""))
    if level is not None:
        yield Meant("logging.level", level, LOG)
    if environment.get(LOG_FORMAT) == "json":
        yield Meant("logging.format", "json", LOG_FORMAT)


def level_of(directives: str) -> str | None:
    """The level of everything: of `info,sqlx=warn` that is `info`. None if it names none that we have."""
    for directive in directives.split(","):
        level = directive.strip().lower()
        if level in _LEVELS:
            return level
    return None


def notes(environment: Mapping[str, str]) -> Iterator[str]:
    """What has no effect here, a sentence each."""
    if environment.get(DATABASE, "").startswith("postgres"):
        yield _NO_DATABASE
