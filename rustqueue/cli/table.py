"""The table of commands: a name, what it does, its examples, and the function that does it.

A command of a node's client gets the connection flags and a client; a local one gets its arguments only. Knows no
command.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from rustqueue.cli.output import Shown
from rustqueue.cli.parsing import Parser, add_connection, examples

if TYPE_CHECKING:
    from rustqueue.client import Client

ClientCommand = Callable[[argparse.Namespace, "Client"], Shown]
LocalCommand = Callable[[argparse.Namespace], int]


class Commands:
    """Commands of one level; `group` opens a level below (`rustqueue queues list`)."""

    def __init__(self, parser: Parser, title: str = "commands") -> None:
        self._actions = parser.add_subparsers(
            title=title, dest="action", metavar="COMMAND", required=True, parser_class=Parser
        )

    def add(self, name: str, run: ClientCommand, summary: str, *lines: str) -> Parser:
        """A command that asks a node."""
        parser = self._declare(name, summary, lines)
        parser.set_defaults(ask=run)
        add_connection(parser)
        return parser

    def add_local(self, name: str, run: LocalCommand, summary: str, *lines: str) -> Parser:
        """A command that needs no client; it returns the exit code."""
        parser = self._declare(name, summary, lines)
        parser.set_defaults(run=run)
        return parser

    def group(self, name: str, summary: str, *lines: str) -> "Commands":
        parser = self._declare(name, summary, lines)
        add_connection(parser)
        return Commands(parser, "actions")

    def local_group(self, name: str, summary: str, *lines: str) -> "Commands":
        """The same for commands that ask no node."""
        return Commands(self._declare(name, summary, lines), "actions")

    def _declare(self, name: str, summary: str, lines: tuple[str, ...]) -> Parser:
        parser: Parser = self._actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=examples(*lines)
        )
        parser.set_defaults(parser=parser)
        return parser
