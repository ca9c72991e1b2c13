"""Words to values: the parser, the flags that every client command has, and where a node is looked for.

It must not know any command. Invariant: whatever is wrong with the words becomes one line and exit code 2.
"""

import argparse
import os
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Raw

from rustqueue.client.address import Address
from rustqueue.client.errors import InvalidRequest, NetworkError
from rustqueue.client.token import Token, TokenFile
from rustqueue.model.mistakes.nearest import advice, nearest

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_CONNECTION = 3

ADVICE = {
    "UNAUTHORIZED": "a token is given by --token, --token-file or RUSTQUEUE_TOKEN",
    "WEBHOOKS_DISABLED": "the node needs webhooks.enabled = true",
}
"""What the person at the keyboard can do, where the server cannot know that there is one."""

HTTP_PORT_DEFAULT = 6790  # Contract A2.
CONNECT_TIMEOUT_S = 5.0

_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""What OpenSSL calls an issuer that is missing or trusted by nobody."""


_ALIKE = 0.75
"""How much a flag must resemble a wrong one. All begin with two dashes, so that the usual 0.6 finds some for any."""

_COMMANDS_SHOWN = 12


class UsageError(Exception):
    """The words cannot be carried out as they stand."""


class Failed(Exception):
    """The command was carried out and did not succeed; the text is the one line to print."""


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line, and examples stand below the flags as they were written."""

    def __init__(self, **keywords: object) -> None:
        keywords.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        keywords.setdefault("allow_abbrev", False)
        super().__init__(**keywords)  # type: ignore[arg-type]  # argparse takes them one by one, we only pass them on.

    def refuse_words(self, words: list[str]) -> NoReturn:
        """Words that this command does not know, the first of them with the flag that it may have been meant to be."""
        flag = words[0].partition("=")[0]
        known = list(self._option_string_actions) if flag.startswith("--") else []
        longer = [one for one in known if one.startswith(flag)]
        close = longer[0] if longer else nearest(flag, known, _ALIKE)
        self.error(f"unrecognized arguments: {' '.join(words)}" + (f"; did you mean {close}?" if close else ""))

    def refuse_early_flags(self, words: list[str]) -> None:
        """A flag of the client commands before any of them: its value would be taken for the command."""
        flag = words[0].partition("=")[0] if words else ""
        known = Parser(add_help=False)
        add_connection(known)
        if flag in known._option_string_actions:
            self.error(f"{flag} stands behind the command, as in `{self.prog} status {flag} ...`")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """For a command that is not there the nearest one, or a short list of all; `--help` tells a long one."""
        known = list(action.choices or ())
        if isinstance(action, argparse._SubParsersAction) and value not in known:
            hint = advice(str(value), known)
            if not hint and len(known) <= _COMMANDS_SHOWN:
                hint = f", there are {', '.join(known)}"
            self.error(f"unknown command {str(value)!r}{hint}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def examples(*lines: str) -> str:
    """The end of a help text."""
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that talks to a node. They may stand before or after an action such as `list`."""
    group = parser.add_argument_group("connection")
    quiet = argparse.SUPPRESS
    group.add_argument("--url", default=quiet, help="http[s]://HOST:PORT or tcp[s]://HOST:PORT (or RUSTQUEUE_URL)")
    group.add_argument("--host", default=quiet, help="host of the HTTP port (or RUSTQUEUE_HOST, else 127.0.0.1)")
    group.add_argument(
        "--http-port", type=int, default=quiet, metavar="PORT", help="HTTP port (or RUSTQUEUE_HTTP_PORT, else 6790)"
    )
    group.add_argument("--token", default=quiet, help="bearer token (or RUSTQUEUE_TOKEN)")
    group.add_argument(
        "--token-file", default=quiet, metavar="FILE", help="file with the bearer token (or RUSTQUEUE_TOKEN_FILE)"
    )
    group.add_argument(
        "--ca-file", default=quiet, metavar="FILE", help="certificate authorities to trust (or RUSTQUEUE_CA_FILE)"
    )
    group.add_argument(
        "--timeout-s", type=positive_s, default=quiet, metavar="S", help="give up after S seconds (else 30)"
    )
    group.add_argument("--output", choices=["text", "json"], default=quiet, help="form of the answer (else text)")


def url_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """Where the node is: `--url`, then `--host` and `--http-port`, then the same from the environment."""
    url: str | None = getattr(arguments, "url", None)
    host: str | None = getattr(arguments, "host", None)
    port: int | None = getattr(arguments, "http_port", None)
    if url is not None and (host is not None or port is not None):
        raise UsageError("give either --url or --host and --http-port")
    if url is None and host is None and port is None:
        url = environment.get("RUSTQUEUE_URL")
    if url is not None:
        if not url.startswith(("http://", "https://", "tcp://", "tcps://")):
            raise UsageError(f"{url!r} is no address of a node: http[s]://HOST:PORT or tcp[s]://HOST:PORT")
        return url
    host = host or environment.get("RUSTQUEUE_HOST") or "127.0.0.1"
    text = str(port) if port is not None else environment.get("RUSTQUEUE_HTTP_PORT") or str(HTTP_PORT_DEFAULT)
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise UsageError(f"RUSTQUEUE_HTTP_PORT or --http-port: {text!r} is no port")
    return f"http://{f'[{host}]' if ':' in host else host}:{text}"


def reach(url: str, ca_file: str | None) -> None:
    """Fail at once where no node listens: the client would go on trying, which helps programs and annoys people."""
    try:
        address = Address.parse(url)
        tls = address.tls_context(ca_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    where = f"{address.host}:{address.port}"
    try:
        with socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S) as plain:
            if tls is not None:
                tls.wrap_socket(plain, server_hostname=address.host).close()
    except ssl.SSLCertVerificationError as error:
        unknown = error.verify_code in _UNKNOWN_AUTHORITY
        advice = "name its authority with --ca-file" if unknown else "see the name and the dates in it"
        reason = f"shows a certificate that is not trusted: {error.verify_message.rstrip('.')}; {advice}"
        raise NetworkError(f"{where} {reason}", sent=False) from None
    except ssl.SSLError as error:
        raise NetworkError(f"{where} speaks no TLS ({error.reason}): is it http:// or tcp://?", sent=False) from None
    except OSError as error:
        raise NetworkError(f"cannot connect to {where}: {error.strerror or error}", sent=False) from None


def token_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Token | None:
    token: str | None = getattr(arguments, "token", None)
    path: str | None = getattr(arguments, "token_file", None)
    if token is not None and path is not None:
        raise UsageError("give either --token or --token-file")
    if token is None and path is None:
        token, path = environment.get("RUSTQUEUE_TOKEN"), environment.get("RUSTQUEUE_TOKEN_FILE")
    if token:
        return token
    if not path:
        return None
    found = TokenFile(path)
    try:
        found()
    except InvalidRequest as error:
        raise UsageError(error.message) from None
    return found


def ca_file_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str | None:
    given: str | None = getattr(arguments, "ca_file", None)
    return given or environment.get("RUSTQUEUE_CA_FILE") or None


def text_or_file(value: str) -> str:
    """The value itself, the content of a file for `@FILE`, or standard input for `-`. An argument type."""
    try:
        if value == "-":
            return sys.stdin.read()
        return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{value}: {getattr(error, 'strerror', None) or error}") from None


def json_text(value: str) -> Raw:
    """JSON as the person typed it, `@FILE` or `-`. An argument type. The original took bad JSON for `{}` and so lost
    payloads; here it is an error.
    """
    text = text_or_file(value).strip()
    try:
        msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        hint = f"; for a file say @{value}" if os.path.isfile(value) else ""
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}{hint}") from None
    return Raw(text.encode())


def host_port(text: str) -> str:
    """An address, for argparse."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return text


def positive_s(text: str) -> float:
    """A time above zero, for argparse."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def bounded(low: int, high: int) -> Callable[[str], int]:
    """An integer of a range, for argparse."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return convert
