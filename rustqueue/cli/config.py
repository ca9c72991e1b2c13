"""Commands about settings, and the flags that every command with settings has.

It must not know what a setting does.
"""

import argparse
import os

from rustqueue.cli.output import as_json, as_text
from rustqueue.cli.parsing import Failed, UsageError
from rustqueue.cli.table import Commands
from rustqueue.settings import CONSENT_FLAG, Loaded, SettingsError, load_with_sources
from rustqueue.settings.pages import defaults, environment_template, flag_of, in_force, toml_template
from rustqueue.settings.told import KEYS

_SHORT_FLAGS = {
    "short_http_port": ("server.http_port", "--http-port"),
    "short_tcp_port": ("server.tcp_port", "--tcp-port"),
    "short_data": ("storage.path", "--data"),
}


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.local_group(
        "config",
        "look at settings without running a node",
        "rustqueue config show",
        "rustqueue config check --config rustqueue.toml",
        "rustqueue config template",
    )
    parser = group.add_local(
        "show",
        show,
        "show all settings that are in force, and where each comes from",
        "rustqueue config show --config rustqueue.toml",
        "rustqueue config show --output json",
    )
    declare_settings(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="form of the answer (else text)")
    parser = group.add_local(
        "check",
        check,
        "say whether a node would take these settings, and which have no effect",
        "rustqueue config check --config /etc/rustqueue/rustqueue.toml",
    )
    declare_settings(parser)
    parser = group.add_local(
        "template",
        template,
        "print every setting with its default and what it does",
        "rustqueue config template",
        "rustqueue config template --form env",
    )
    parser.add_argument("--form", choices=["toml", "env"], default="toml", help="a file or variables (else toml)")


def declare_settings(parser: argparse.ArgumentParser) -> None:
    """The file, and a flag for every key."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings file, else rustqueue.toml if it is there")
    parser.add_argument("--http-port", metavar="PORT", dest="short_http_port", help="same as --server-http-port")
    parser.add_argument("--tcp-port", metavar="PORT", dest="short_tcp_port", help="same as --server-tcp-port")
    parser.add_argument("--data", metavar="DIR", dest="short_data", help="same as --storage-path")
    parser.add_argument(
        CONSENT_FLAG,
        action="store_true",
        dest="data_loss_accepted",
        help="take settings with which acknowledged jobs may be lost: raft.fsync none",
    )
    group = parser.add_argument_group(
        "settings", "Every key of the settings file is a flag; the environment has it as RUSTQUEUE_SECTION__KEY."
    )
    for key, default in defaults():
        told = f"{KEYS[key]} Else {as_text(default)}."
        group.add_argument(flag_of(key), metavar="VALUE", dest=f"setting {key}", default=argparse.SUPPRESS, help=told)


def loaded(arguments: argparse.Namespace) -> Loaded:
    """What file, environment and flags say together."""
    try:
        flags, accepted = setting_flags(arguments), arguments.data_loss_accepted
        return load_with_sources(arguments.config, os.environ, flags, data_loss_accepted=accepted)
    except SettingsError as error:
        raise UsageError(str(error)) from None


def setting_flags(arguments: argparse.Namespace) -> dict[str, str]:
    """What was given on the command line, by `section.key`. A value given by both of its flags must be the same."""
    flags = {
        name.removeprefix("setting "): value for name, value in vars(arguments).items() if name.startswith("setting ")
    }
    for name, (key, flag) in _SHORT_FLAGS.items():
        value = getattr(arguments, name)
        if value is None:
            continue
        if flags.setdefault(key, value) != value:
            raise UsageError(f"{flag} {value} and {flag_of(key)} {flags[key]} differ")
    return flags


def show(arguments: argparse.Namespace) -> int:
    settings, sources = loaded(arguments)
    shown = in_force(settings, sources)
    if arguments.output == "json":
        print(as_json({line.key: {"value": line.value, "source": line.source} for line in shown}))
        return 0
    section = ""
    for line in shown:
        above, _, name = line.key.partition(".")
        if above != section:
            print(f"{'' if not section else chr(10)}[{above}]")
            section = above
        value = f"{name} = {line.value}" if line.value is not None else f"# {name} is not set"
        print(value if line.source == "default" else f"{value}  # {line.source}")
    for queue, rate in settings.queue_rates.items():
        print(f"\n[queues.{queue}]  # {rate.count} pushes at once, then as many in {rate.per_ms} ms")
    return 0


def check(arguments: argparse.Namespace) -> int:
    try:
        settings, sources = loaded(arguments)
    except UsageError as error:
        raise Failed(str(error)) from None
    for note in settings.notes:
        print(note)
    print(f"sound: {len(sources)} settings given")
    return 0


def template(arguments: argparse.Namespace) -> int:
    print(toml_template() if arguments.form == "toml" else environment_template(), end="")
    return 0
