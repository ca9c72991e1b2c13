"""Where settings come from: defaults, then the TOML file, then the environment, then flags; the later one wins.

It must not know what a setting does. Invariants: a wrong value is refused with the key, the place it came from and what
was expected; an unknown key is refused with the nearest known one; what has no effect yet is refused or noted.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Struct

from rustqueue.model.jobs import Rate
from rustqueue.model.mistakes.nearest import advice
from rustqueue.model.mistakes.wanted import wanted
from rustqueue.reasons import reason_of
from rustqueue.settings import second_system
from rustqueue.settings.checks import problems
from rustqueue.settings.pages import SECRETS
from rustqueue.settings.sections import Settings, rate_of

DEFAULT_CONFIG_PATH: Final = "rustqueue.toml"
_ENVIRONMENT: Final = re.compile(r"RUSTQUEUE_([A-Z0-9]+)__([A-Z0-9_]+)")
_ITEM: Final = re.compile(r" - at `\$\[(\d+)\]`$")
_SHORT_ENVIRONMENT: Final = {"RUSTQUEUE_HTTP_PORT": "server.http_port", "RUSTQUEUE_TCP_PORT": "server.tcp_port"}
_QUEUE_LIMIT_KEYS: Final = frozenset({"rate_limit_per_second", "rate_limit_burst"})

_ORIGINAL_STORE: Final = "it set up the original's stores; here every acknowledgement waits for fsync"
_NO_EFFECT: Final = {
    "storage.durability": _ORIGINAL_STORE,
    "storage.redb_durability": _ORIGINAL_STORE,
    "storage.postgres_url": "this version stores nothing in PostgreSQL",
    "storage.hybrid_snapshot_interval_ms": _ORIGINAL_STORE,
    "storage.hybrid_max_dirty": _ORIGINAL_STORE,
    "scheduler.tick_interval_ms": "what is due is done when it is due, not at intervals",
    "scheduler.stall_check_interval_ms": "a lease that ends is seen when it ends, not at intervals",
    "retention.failed_ttl": "no job ends as failed: failed jobs are retried or dead",
}
"""Known keys without an effect, and why: said in the log of a node that sets one."""

CONSENT_FLAG: Final = "--i-accept-data-loss"
_NEEDS_CONSENT: Final[dict[tuple[str, object], tuple[str, str]]] = {
    ("raft.fsync", "none"): (
        "a power cut may then take jobs that were acknowledged; leave it at 'majority'",
        "this version waits for the disk all the same",
    ),
}
"""Values that give up what we promise: why they are refused, and what becomes of them with the flag."""


class SettingsError(Exception):
    """A setting cannot be used. The message names the key, where it was set and what is expected."""


class Given(NamedTuple):
    value: object
    source: str


class Loaded(NamedTuple):
    """`sources` says for every key that was given where its value came from."""

    settings: Settings
    sources: dict[str, str]


def load_settings(config_path: str | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """All sources as one. `config_path` None: `rustqueue.toml` if it is there. `flags` are texts by `section.key`."""
    return load_with_sources(config_path, environment, flags).settings


def load_with_sources(
    config_path: str | None,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
    *,
    data_loss_accepted: bool = False,
) -> Loaded:
    """The same, and where everything came from. Values that may cost jobs are taken only with `data_loss_accepted`."""
    notes: list[str] = []
    rates: dict[str, Rate] = {}
    given = _from_file(config_path, notes, rates)
    for key, text, variable in second_system.meant(environment):
        given[key] = Given(_from_text(key, text, variable), variable)
    notes += second_system.notes(environment)
    given.update(_from_environment(environment))
    for key, text in flags.items():
        source = "--" + key.replace(".", "-").replace("_", "-")
        given[key] = Given(_from_text(key, text, source), source)
    values: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for key, (value, source) in given.items():
        section, _, name = key.partition(".")
        values[section][name] = _converted(key, value, source)
        notes += _consented(key, value, source, data_loss_accepted)
        if key in _NO_EFFECT:
            notes.append(f"{key} (from {source}) has no effect: {_NO_EFFECT[key]}")
    sections: dict[str, Any] = {section: struct(**values[section]) for section, struct in _SECTIONS.items()}
    settings = Settings(**sections, notes=tuple(notes), queue_rates=rates)
    for key, reason in problems(settings):
        raise SettingsError(f"{key} (from {given[key].source}): {reason}")
    storage = settings.storage
    if storage.backend != storage.engine:
        note = f"storage.backend: '{storage.backend}' of the original means '{storage.engine}' here"
        settings = msgspec.structs.replace(settings, notes=(*notes, note))
    return Loaded(settings, {key: source for key, (_, source) in given.items()})


def setting_keys() -> list[str]:
    """Every key as `section.key`, in the order of the sections: what the flags of the command line are made of."""
    return list(_FIELD_TYPES)


def _section_types() -> dict[str, type[Struct]]:
    fields = msgspec.structs.fields(Settings)
    return {field.name: field.type for field in fields if field.name not in ("notes", "queue_rates")}


_SECTIONS: Final = _section_types()
_FIELD_TYPES: Final[dict[str, Any]] = {
    f"{section}.{field.name}": field.type
    for section, struct in _SECTIONS.items()
    for field in msgspec.structs.fields(struct)
}


def _from_file(path: str | None, notes: list[str], rates: dict[str, Rate]) -> dict[str, Given]:
    try:
        with open(path or DEFAULT_CONFIG_PATH, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        if path is None:
            return {}
        raise SettingsError(f"the configuration file {path} does not exist") from None
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {reason_of(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the configuration file {path or DEFAULT_CONFIG_PATH}: {error}") from error
    source = path or DEFAULT_CONFIG_PATH
    given: dict[str, Given] = {}
    for section, table in document.items():
        if section not in _SECTIONS:
            raise SettingsError(f"{source}: unknown section [{section}]{advice(section, _SECTIONS)}")
        if not isinstance(table, dict):
            raise SettingsError(f"{source}: [{section}] must be a section, not a value")
        for name, value in table.items():
            if section == "queues" and isinstance(value, dict):
                _read_queue(name, value, source, notes, rates)
                continue
            _check_known(f"{section}.{name}", source)
            given[f"{section}.{name}"] = Given(value, source)
    return given


def _read_queue(queue: str, table: dict[str, Any], source: str, notes: list[str], rates: dict[str, Rate]) -> None:
    """The original's limit of pushes (contract A17): a rate that cannot be is left out, and the log says so."""
    for name in table:
        if name not in _QUEUE_LIMIT_KEYS:
            hint = advice(name, sorted(_QUEUE_LIMIT_KEYS))
            raise SettingsError(f"{source}: unknown key 'queues.{queue}.{name}'{hint}")
    rate = rate_of(table.get("rate_limit_per_second"), table.get("rate_limit_burst"))
    if rate is None:
        notes.append(f"queues.{queue} (from {source}) has no effect: a rate and a burst are numbers above zero")
    else:
        rates[queue] = rate


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for variable, key in _SHORT_ENVIRONMENT.items():
        # Kubernetes sets RUSTQUEUE_TCP_PORT=tcp://... in every pod beside a Service called rustqueue-tcp.
        text = environment.get(variable, "")
        if text and not text.startswith("tcp://"):
            given[key] = Given(_from_text(key, text, variable), variable)
    for variable, text in sorted(environment.items()):
        found = _ENVIRONMENT.fullmatch(variable)
        if found is not None:
            key = f"{found[1]}.{found[2]}".lower()
            given[key] = Given(_from_text(key, text, variable), variable)
    return given


def _from_text(key: str, text: str, source: str) -> object:
    """A text of the environment or a flag as the kind of value that the key wants; the exact check comes after."""
    _check_known(key, source)
    kind = _FIELD_TYPES[key]
    if _is_list(kind):
        if not text.startswith("["):
            parts = [part.strip() for part in text.split(",") if part.strip()]
            return parts if _holds_texts(kind) else [int(part) if part.isdecimal() else part for part in parts]
    elif _is_text(kind):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _is_list(kind: Any) -> bool:
    return get_origin(_plain(kind)) is list


def _holds_texts(kind: Any) -> bool:
    return _plain(get_args(_plain(kind))[0]) is str


def _plain(kind: Any) -> Any:
    """A type without its bounds."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_text(kind: Any) -> bool:
    return kind is str or (bool(get_args(kind)) and get_args(kind)[0] is str)


def _converted(key: str, value: object, source: str) -> object:
    try:
        return msgspec.convert(value, _FIELD_TYPES[key])
    except msgspec.ValidationError as error:
        raise SettingsError(f"{key} = {_shown(key, value)} (from {source}) {_wrong(key, str(error))}") from None


def _wrong(key: str, reason: str) -> str:
    """What the key takes instead; in a list the decoder says which item is wrong, counting from zero."""
    item = _ITEM.search(reason)
    which = "" if item is None else f": item {int(item[1]) + 1} is wrong"
    return f"must be {wanted(_FIELD_TYPES[key])}{which}"


def _consented(key: str, value: object, source: str, accepted: bool) -> list[str]:
    """What the log has to say of a value that gives something up; without consent it is refused."""
    found = _NEEDS_CONSENT.get((key, value)) if isinstance(value, str) else None
    if found is None:
        return []
    refusal, note = found
    where = f"{key} = {_shown(key, value)} (from {source})"
    if not accepted:
        raise SettingsError(f"{where}: {refusal}, or say {CONSENT_FLAG}")
    return [f"{where} has no effect: {note}"]


def _shown(key: str, value: object) -> str:
    """The value for an error text; secrets are not repeated."""
    return "..." if key in SECRETS else repr(value)


def _check_known(key: str, source: str) -> None:
    if key in _FIELD_TYPES:
        return
    raise SettingsError(f"{source}: unknown key '{key}'{advice(key, _FIELD_TYPES)}")
