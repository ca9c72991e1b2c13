"""The examples of the README run as they stand there, against a running node.

Blocks marked `sh` and `python` below the heading "Try it" are run in order, in one folder. Only what differs from
machine to machine is replaced: the ports, and where the program is. Blocks without a mark are not run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

README = Path(__file__).parents[2] / "README.md"
BLOCK_DEADLINE_S = 240

# Neither `make test` nor the product needs curl, so a machine may be without it. This knows the flags of the README.
CURL = """
import argparse, sys, urllib.error, urllib.request
parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("-s", action="store_true")
parser.add_argument("-X", default=None)
parser.add_argument("-d", default=None)
parser.add_argument("-H", action="append", default=[])
words = parser.parse_args()
url = words.url if "://" in words.url else "http://" + words.url
body = None if words.d is None else words.d.encode()
headers = dict(header.split(": ", 1) for header in words.H)
request = urllib.request.Request(url, body, headers, method=words.X)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    sys.stdout.write(opener.open(request).read().decode())
except urllib.error.HTTPError as error:
    sys.stdout.write(error.read().decode())
"""


class Block(NamedTuple):
    language: str
    text: str


def blocks_of(page: str, heading: str) -> list[Block]:
    """Marked blocks between a heading and the next one of its level."""
    section = re.split(r"^## ", page.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    return [Block(*found) for found in re.findall(r"^```(sh|python)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path / "data")) as ports:
        yield ports


def programs(folder: Path, *, own_curl: bool) -> Path:
    """A folder for the path that has `rustqueue`, and `curl` if asked or where the machine has none."""
    folder.mkdir()
    scripts = {"rustqueue": f'exec {sys.executable} -m rustqueue "$@"'}
    if own_curl or shutil.which("curl") is None:
        (folder / "curl.py").write_text(CURL)
        scripts["curl"] = f'exec {sys.executable} {folder / "curl.py"} "$@"'
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def run_block(block: Block, ports: Ports, folder: Path, path: Path) -> str:
    text = block.text.replace(".venv/bin/rustqueue", "rustqueue")
    text = re.sub(r"(localhost|127\.0\.0\.1):6790", f"127.0.0.1:{ports.http}", text)
    text = re.sub(r"(localhost|127\.0\.0\.1):6789", f"127.0.0.1:{ports.tcp}", text)
    command = ["sh", "-eu", "-c", text] if block.language == "sh" else [sys.executable, "-W", "error", "-c", text]
    environment = {
        **os.environ,
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(README.parent),
        "RUSTQUEUE_HTTP_PORT": str(ports.http),
        "no_proxy": "*",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=BLOCK_DEADLINE_S
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("own_curl", [True, False])
def test_the_examples_of_the_readme_run(ports: Ports, tmp_path: Path, own_curl: bool) -> None:
    blocks = blocks_of(README.read_text(), "Try it")
    path = programs(tmp_path / "bin", own_curl=own_curl)
    outputs = [run_block(block, ports, tmp_path, path) for block in blocks]
    assert {block.language for block in blocks} == {"sh", "python"}
    assert [output for output in outputs if output == "" or '"ok":false' in output] == []


def test_only_marked_blocks_below_the_heading_are_run() -> None:
    marked = "```sh\nyes\n```\n### More\n```python\n1\n```\n"
    page = f"## Before\n```sh\nno\n```\n## Try it\n```\nno\n```\n{marked}## After\n```sh\nno\n```\n"
    assert blocks_of(page, "Try it") == [Block("sh", "yes\n"), Block("python", "1\n")]
