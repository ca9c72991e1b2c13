"""The words of the command line: what they become, and what is said about wrong ones."""

import argparse
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustqueue.cli.config import setting_flags
from rustqueue.cli.node import missing_extra
from rustqueue.cli.output import as_json, shortened, table
from rustqueue.cli.parsing import UsageError, token_of, url_of
from rustqueue.cli.program import build_parser, run


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    return (child for child in parsers(parser) if child is not parser)


def test_every_help_shows_examples() -> None:
    assert [parser.prog for parser in parsers(build_parser()) if "examples:\n  " not in parser.format_help()] == []


def test_the_page_of_commands_has_a_heading_for_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    ends = [parser for parser in parsers(build_parser()) if not any(parsers_below(parser))]
    assert sorted(headings) == sorted(parser.prog.removeprefix("rustqueue ") for parser in ends)


def test_the_page_of_commands_has_examples_that_are_understood() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("rustqueue ")]
    parser = build_parser()
    assert len(lines) > 30
    for line in lines:
        words = shlex.split(line.replace("@digest.json", "{}").replace("jobs.jsonl", "/dev/null"))
        parser.parse_args(words[1:])


def test_every_example_of_this_program_is_understood() -> None:
    whole = build_parser()
    for parser in parsers(whole):
        for line in (parser.epilog or "").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["rustqueue"] and "@" not in line and "jobs.jsonl" not in line:
                whole.parse_args(words[1:])


@pytest.mark.parametrize(
    ("words", "environment", "url"),
    [
        ([], {}, "http://127.0.0.1:6790"),
        (["--host", "db1"], {}, "http://db1:6790"),
        (["--host", "::1", "--http-port", "80"], {}, "http://[::1]:80"),
        (["--url", "tcp://q:6789"], {"RUSTQUEUE_URL": "http://other:1"}, "tcp://q:6789"),
        ([], {"RUSTQUEUE_URL": "tcp://q:1", "RUSTQUEUE_HOST": "ignored"}, "tcp://q:1"),
        ([], {"RUSTQUEUE_HOST": "db2", "RUSTQUEUE_HTTP_PORT": "7000"}, "http://db2:7000"),
        (["--http-port", "7001"], {"RUSTQUEUE_URL": "tcp://q:1", "RUSTQUEUE_HOST": "db3"}, "http://db3:7001"),
    ],
)
def test_where_the_node_is(words: list[str], environment: dict[str, str], url: str) -> None:
    assert url_of(build_parser().parse_args(["status", *words]), environment) == url


@pytest.mark.parametrize(
    ("words", "environment", "complaint"),
    [
        (["--url", "tcp://q", "--host", "q"], {}, "give either --url or --host and --http-port"),
        (["--url", "q:1"], {}, "'q:1' is no address of a node: http[s]://HOST:PORT or tcp[s]://HOST:PORT"),
        ([], {"RUSTQUEUE_HTTP_PORT": "x"}, "RUSTQUEUE_HTTP_PORT or --http-port: 'x' is no port"),
        (["--http-port", "70000"], {}, "RUSTQUEUE_HTTP_PORT or --http-port: '70000' is no port"),
    ],
)
def test_no_address(words: list[str], environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        url_of(build_parser().parse_args(["status", *words]), environment)
    assert str(raised.value) == complaint


def test_the_token_comes_from_the_flag_or_the_environment() -> None:
    parse = build_parser().parse_args
    tokens = [
        token_of(parse(["status", "--token", "a"]), {"RUSTQUEUE_TOKEN": "b"}),
        token_of(parse(["status"]), {"RUSTQUEUE_TOKEN": "b"}),
        token_of(parse(["status"]), {}),
    ]
    assert tokens == ["a", "b", None]


def test_connection_flags_stand_before_or_behind_an_action() -> None:
    parse = build_parser().parse_args
    before = parse(["queues", "--url", "tcp://q:1", "list"])
    behind = parse(["queues", "list", "--url", "tcp://q:1"])
    assert (before.url, behind.url) == ("tcp://q:1", "tcp://q:1")


def test_settings_are_flags() -> None:
    words = ["serve", "--http-port", "0", "--data", "d", "--jobs-default-max-attempts", "5"]
    flags = setting_flags(build_parser().parse_args(words))
    assert flags == {"server.http_port": "0", "storage.path": "d", "jobs.default_max_attempts": "5"}


def test_a_setting_given_by_both_flags_must_agree() -> None:
    parse = build_parser().parse_args
    agreed = setting_flags(parse(["serve", "--http-port", "1", "--server-http-port", "1"]))
    with pytest.raises(UsageError) as raised:
        setting_flags(parse(["serve", "--http-port", "1", "--server-http-port", "2"]))
    assert agreed == {"server.http_port": "1"}
    assert str(raised.value) == "--http-port 1 and --server-http-port 2 differ"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "rustqueue: the following arguments are required: COMMAND (see `rustqueue --help`)"),
        (["push"], "rustqueue push: the following arguments are required: --queue (see `rustqueue push --help`)"),
        (
            ["push", "--queue", "q", "--name", "n", "--data", "{"],
            "rustqueue push: argument --data: not valid JSON: Input data was truncated (see `rustqueue push --help`)",
        ),
        (
            ["pull", "--queue", "q", "--count", "1001"],
            "rustqueue pull: argument --count: 1001 is not between 1 and 1000 (see `rustqueue pull --help`)",
        ),
        (
            ["serve", "--server-http-prot", "1"],
            "rustqueue serve: unrecognized arguments: --server-http-prot 1; did you mean --server-http-port? "
            "(see `rustqueue serve --help`)",
        ),
        (
            ["queues", "list", "--outptu=json"],
            "rustqueue queues list: unrecognized arguments: --outptu=json; did you mean --output? "
            "(see `rustqueue queues list --help`)",
        ),
        (
            ["cancel", "ID", "OTHER"],
            "rustqueue cancel: unrecognized arguments: OTHER (see `rustqueue cancel --help`)",
        ),
        (["psh"], "rustqueue: unknown command 'psh'; did you mean 'push'? (see `rustqueue --help`)"),
        *(
            (
                [*flag, "status"],
                "rustqueue: --url stands behind the command, as in `rustqueue status --url ...` "
                "(see `rustqueue --help`)",
            )
            for flag in (["--url", "tcp://127.0.0.1:1"], ["--url=tcp://127.0.0.1:1"])
        ),
        (["zzz"], "rustqueue: unknown command 'zzz' (see `rustqueue --help`)"),
        (
            ["workers", "get"],
            "rustqueue workers: unknown command 'get', there are list, drain (see `rustqueue workers --help`)",
        ),
        (
            ["dlq", "retry", "q", "--rate", "5"],
            "rustqueue dlq retry: unrecognized arguments: --rate 5; did you mean --rate-per-s? "
            "(see `rustqueue dlq retry --help`)",
        ),
        (
            ["queues", "list", "--json"],
            "rustqueue queues list: unrecognized arguments: --json (see `rustqueue queues list --help`)",
        ),
        (
            ["push", "--queue", "q", "--file", "nowhere.jsonl"],
            "rustqueue push: argument --file: nowhere.jsonl: No such file or directory (see `rustqueue push --help`)",
        ),
        (
            ["status", "--timeout-s", "-1"],
            "rustqueue status: argument --timeout-s: -1 is not above zero (see `rustqueue status --help`)",
        ),
        (["status", "--token-file", "nope"], "rustqueue: cannot read the token in nope: No such file or directory"),
        (
            ["cluster", "add", "n3", "10.0.0.4"],
            "rustqueue cluster add: argument HOST:PORT: '10.0.0.4' is not HOST:PORT "
            "(see `rustqueue cluster add --help`)",
        ),
        (
            ["status", "--url", "https://127.0.0.1:1", "--ca-file", "nope.pem"],
            "rustqueue: cannot use the certificate authorities in nope.pem: No such file or directory",
        ),
        (["serve", "--raft-fsync", "none"], None),
        (["serve", "--config", "/nowhere/rustqueue.toml"], None),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    words: list[str],
    line: str | None,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(words)
    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n"), "Traceback" in shown.err) == (2, "", 1, False)
    assert line is None or shown.err == line + "\n"


def test_no_connection_is_one_line_and_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["status", "--url", "http://127.0.0.1:1"])
    shown = capsys.readouterr()
    assert (code, shown.out) == (3, "")
    assert shown.err == "rustqueue: cannot connect to 127.0.0.1:1: Connection refused\n"


def test_tls_where_none_is_spoken_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    # Given somebody who answers a handshake as an HTTP node does
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        # When it is asked over TLS
        port = plain.getsockname()[1]
        code = run(["status", "--url", f"https://127.0.0.1:{port}"])
        thread.join()
    # Then nobody waits for the end of the repeats
    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (3, "", 1)
    assert shown.err.startswith(f"rustqueue: 127.0.0.1:{port} speaks no TLS (")


def test_a_file_of_the_system_that_cannot_be_had_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.rqb"
    code = run(["backup", "verify", str(missing)])
    assert (code, capsys.readouterr().err) == (1, f"rustqueue: {missing}: No such file or directory\n")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--version"])
    assert (code, capsys.readouterr().out) == (0, "rustqueue 0.1.0\n")


def test_a_table_has_numbers_to_the_right() -> None:
    text = table(["Queue", "Waiting", "Mode"], [("mail", 12_345, "normal"), ("x", 7, "hold")])
    assert text == "Queue  Waiting  Mode\nmail    12,345  normal\nx            7  hold"


def test_answers_as_json_and_on_one_line() -> None:
    assert as_json({"ok": True, "ids": []}) == '{\n  "ok": true,\n  "ids": []\n}'
    assert (shortened("a\n b", 10), shortened("abcdef", 4)) == ("a b", "abc…")


def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = missing_extra(ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp"))
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err == (
        "rustqueue: this needs the server (aiohttp is not installed): pip install 'rustqueue[server]'\n"
    )


def test_a_missing_module_of_ours_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing_extra(ModuleNotFoundError("No module named 'rustqueue.nodes'", name="rustqueue.nodes"))
