"""The settings as text: a commented template, the same for the environment, and what is in force with its sources.

It must not know where text goes. Invariants: a template holds every key and changes nothing when it is used as it is; a
secret is never shown.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from rustqueue.settings.sections import Settings
from rustqueue.settings.told import KEYS, SECTIONS

SECRETS: Final = frozenset({"auth.tokens", "storage.postgres_url"})
"""Keys whose values are shown nowhere."""

HIDDEN: Final = "..."


class Shown(NamedTuple):
    """One key: its value as TOML, None when it has none, and where that came from."""

    key: str
    value: str | None
    source: str


def defaults() -> Iterator[tuple[str, object]]:
    """Every key with its default, in the order of the sections."""
    settings = Settings()
    for section in SECTIONS:
        values = getattr(settings, section)
        for name in values.__struct_fields__:
            yield f"{section}.{name}", getattr(values, name)


def in_force(settings: Settings, sources: Mapping[str, str]) -> list[Shown]:
    """What a node would run with; secrets are hidden."""
    shown = []
    for key, default in defaults():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        text = None if value is None else toml(value)
        if key in SECRETS and value != default:
            text = toml([HIDDEN] * len(value)) if isinstance(value, list) else toml(HIDDEN)
        shown.append(Shown(key, text, sources.get(key, "default")))
    return shown


def toml(value: object) -> str:
    """A value as TOML writes it: for words, numbers and lists of words that is JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=-1).decode().replace('","', '", "')


def toml_template() -> str:
    """A file with every key at its default, each commented out."""
    lines = ["# Every setting with its default. Take the # from what you change; docs/configuration.md tells more."]
    section = ""
    for key, default in defaults():
        name = key.partition(".")[2]
        if not key.startswith(f"{section}.") or not section:
            section = key.partition(".")[0]
            lines += ["", f"# {SECTIONS[section]}", f"[{section}]"]
        value = "" if default is None else f" {toml(default)}"
        lines += [f"# {KEYS[key]}", f"# {name} ={value}"]
    lines += [
        "",
        "# Pushes to one queue: so many a second, and so many at once.",
        "# [queues.mail]",
        "# rate_limit_per_second = 10.0",
        "# rate_limit_burst = 20",
    ]
    return "\n".join(lines) + "\n"


def environment_template() -> str:
    """The same for the environment."""
    lines = ["# Every setting as a variable, with its default. It wins over the file, and flags win over it."]
    for key, default in defaults():
        value = "" if default is None else default if isinstance(default, str) else toml(default)
        lines += [f"# {KEYS[key]}", f"# {variable_of(key)}={value}"]
    return "\n".join(lines) + "\n"


def variable_of(key: str) -> str:
    section, _, name = key.upper().partition(".")
    return f"RUSTQUEUE_{section}__{name}"


def flag_of(key: str) -> str:
    return "--" + key.replace(".", "-").replace("_", "-")
