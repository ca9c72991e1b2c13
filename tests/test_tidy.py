"""The style rules that a tool can check, so that no reviewer has to.

Whatever ruff, mypy and import-linter check is not checked again here. The two allow-lists are ratchets: an entry names
today's size and its reason, the size can only shrink, and an entry that is no longer needed fails until it is deleted.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("rustqueue/", "operator/")

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
CLASS_PUBLIC_METHODS_MAX = 15
PACKAGE_MODULES_MAX = 15


class Allowed(NamedTuple):
    lines: int
    reason: str


# path -> today's number of lines
LONG_FILES: dict[str, Allowed] = {}
# path::function -> today's number of lines
LONG_FUNCTIONS: dict[str, Allowed] = {}


@cache
def repository_files() -> tuple[str, ...]:
    """What is committed or would be: an archive without git is taken to hold nothing else."""
    if not (ROOT / ".git").exists():
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return tuple(sorted(str(path) for path in found if not path.parts[0].startswith(".venv")))
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(sorted(name for name in listing.split("\0") if name and (ROOT / name).is_file()))


@cache
def text_of(name: str) -> str:
    """The text of a file, or nothing when it is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(text_of(name), filename=name)


def python_files() -> list[str]:
    return [name for name in repository_files() if name.endswith(".py")]


def shipped_files() -> list[str]:
    return [name for name in python_files() if name.startswith(SHIPPED)]


def functions_of(name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}::{node.name}", node


def over_limit(sizes: dict[str, int], limit: int, allowed: dict[str, Allowed]) -> list[str]:
    """The sentences to print: what is too long, and which allowances are stale."""
    problems = [
        f"{name}: {lines} lines, at most {allowed[name].lines if name in allowed else limit}"
        for name, lines in sizes.items()
        if lines > (allowed[name].lines if name in allowed else limit)
    ]
    for name, entry in allowed.items():
        lines = sizes.get(name, 0)
        if lines <= limit:
            problems.append(f"{name}: {lines} lines, delete its entry from the allow-list")
        elif lines < entry.lines:
            problems.append(f"{name}: {lines} lines, lower its entry from {entry.lines}")
    return problems


def matches(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name in names
        for number, line in enumerate(text_of(name).splitlines(), start=1)
        if pattern.search(line)
    ]


def test_files_are_short() -> None:
    sizes = {name: len(text_of(name).splitlines()) for name in python_files()}
    assert over_limit(sizes, FILE_LINES_MAX, LONG_FILES) == []


def test_functions_are_short() -> None:
    sizes: Counter[str] = Counter()
    for name in python_files():
        for qualified, node in functions_of(name):
            sizes[qualified] = max(sizes[qualified], (node.end_lineno or node.lineno) - node.lineno + 1)
    assert over_limit(dict(sizes), FUNCTION_LINES_MAX, LONG_FUNCTIONS) == []


def test_classes_have_few_public_methods() -> None:
    crowded = {}
    for name in shipped_files():
        for node in ast.walk(tree_of(name)):
            if not isinstance(node, ast.ClassDef):
                continue
            methods = {child.name for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)}
            public = {method for method in methods if not method.startswith("_")}
            if len(public) > CLASS_PUBLIC_METHODS_MAX:
                crowded[f"{name}::{node.name}"] = len(public)
    assert crowded == {}


def test_packages_have_few_modules() -> None:
    modules = Counter(str(Path(name).parent) for name in shipped_files() if Path(name).stem != "__init__")
    assert {package: count for package, count in modules.items() if count > PACKAGE_MODULES_MAX} == {}


def test_modules_say_what_they_are_for() -> None:
    assert [name for name in shipped_files() if not ast.get_docstring(tree_of(name))] == []


def test_an_allowance_has_a_reason_and_only_shrinks() -> None:
    allowed = {
        "grown": Allowed(80, "r"),
        "shrunk": Allowed(80, "r"),
        "fixed": Allowed(80, "r"),
        "same": Allowed(80, "r"),
    }
    sizes = {"grown": 81, "shrunk": 79, "fixed": 70, "same": 80, "new": 71, "short": 70}
    assert over_limit(sizes, 70, allowed) == [
        "grown: 81 lines, at most 80",
        "new: 71 lines, at most 70",
        "shrunk: 79 lines, lower its entry from 80",
        "fixed: 70 lines, delete its entry from the allow-list",
    ]
    assert [name for name, entry in {**LONG_FILES, **LONG_FUNCTIONS}.items() if len(entry.reason) < 20] == []


# Words that say nothing about what a thing is: a class with such a name collects whatever nobody knows a place for.
EMPTY_WORDS = re.compile(r"(Manager|Helper|Util|Base)(s|[A-Z]|$)")
EMPTY_MODULES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


def test_names_say_what_things_are() -> None:
    found = [name for name in python_files() if EMPTY_MODULES & set(Path(name).with_suffix("").parts)]
    for name in python_files():
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.ClassDef) and EMPTY_WORDS.search(node.name):
                found.append(f"{name}::{node.name}")
        # Tests talk about processes of the system; in what is shipped the word is a verb that says nothing.
        if name.startswith(SHIPPED):
            found += [qualified for qualified, node in functions_of(name) if node.name.startswith("process_")]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    # The words are put together here so that this file does not find itself.
    words = ["TO" + "DO", "FIX" + "ME", "X" * 3, "Not" + "ImplementedError", "lorem " + "ipsum"]
    pattern = re.compile(r"\b(" + "|".join(words) + r")\b")
    names = [name for name in repository_files() if not name.startswith("requirements/")]
    assert matches(pattern, names) == []


def test_no_pickle_is_imported() -> None:
    """A pickle from elsewhere is a program. The journal, the wire and the snapshots have formats of their own."""
    banned = {"pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle"}
    found = []
    for name in python_files():
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            else:
                continue
            found += [f"{name}:{node.lineno}: {module}" for module in imported if module.split(".")[0] in banned]
    assert found == []


# What makes code from bytes. The one mention is the stub that takes the place of pysyncobj's own.
CODE_FROM_BYTES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "eval", "exec"}
MENTIONS_ALLOWED = {"rustqueue/raft/cluster/syncobj.py": ["pickle"]}


def test_nothing_shipped_makes_code_from_bytes() -> None:
    found = {}
    for name in shipped_files():
        tokens = tokenize.generate_tokens(io.StringIO(text_of(name)).readline)
        words = [token.string for token in tokens if token.type == tokenize.NAME and token.string in CODE_FROM_BYTES]
        if words:
            found[name] = words
    assert found == MENTIONS_ALLOWED


def test_the_operator_folder_is_not_a_package() -> None:
    """With `operator/__init__.py`, every Python started in the root of the repository dies: the folder comes first on
    the path and shadows the standard library's `operator`, which `collections` needs. The package inside is
    `rustqueue_operator`; its parent is only a place on the path.
    """
    assert not (ROOT / "operator" / "__init__.py").exists()
    started = subprocess.run(
        [sys.executable, "-c", "import operator, collections; print(operator.eq(1, 1))"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (started.returncode, started.stdout, started.stderr) == (0, "True\n", "")


def test_no_file_names_this_machine_or_a_package_index() -> None:
    """A clone works behind any mirror and in any folder, so that neither may be written down."""
    hosts = ["pypi" + ".org", "python" + "hosted.org", "index.crates" + ".io", "registry.npmjs" + ".org"]
    pattern = re.compile(
        r"(?<![\w.}$/-])/(?:work|root|opt/wheels)(?:/|\b)|"  # folders of one machine
        r"--(?:extra-)?index-url[ =]|--trusted-host[ =]|"
        + "|".join(re.escape(host) for host in [*hosts, "proxy.golang" + ".org"])
    )
    names = [name for name in repository_files() if name != "tests/test_tidy.py"]
    assert matches(pattern, names) == []


def locked_requirements(name: str) -> dict[str, str]:
    """Package -> version; fails on any line of a lock file that is not a pinned requirement with hashes."""
    joined = re.sub(r"\\\n", " ", text_of(name))
    pinned = {}
    for line in joined.splitlines():
        statement = line.split("#", maxsplit=1)[0].strip()
        if not statement:
            continue
        found = re.fullmatch(r"([a-z0-9._-]+)==(\S+)(?: *;[^-]*?)?((?: +--hash=sha256:[0-9a-f]{64})+)", statement)
        assert found is not None, f"{name}: {statement[:80]}"
        pinned[found[1]] = found[2]
    return pinned


def test_lock_files_carry_hashes_and_agree() -> None:
    names = [name for name in repository_files() if name.startswith("requirements/")]
    locks = {Path(name).stem: locked_requirements(name) for name in names}
    assert sorted(locks) == ["build", "client", "dev", "lock", "operator", "server"]
    assert list(locks["client"]) == ["msgspec"]
    versions = {(package, version) for lock in locks.values() for package, version in lock.items()}
    assert [package for package, count in Counter(package for package, _ in versions).items() if count > 1] == []
    for kind in ["client", "server", "operator"]:
        assert locks[kind].keys() <= locks["dev"].keys(), kind


DECISION_HEADINGS = ["## Context", "## Choice", "## Cost", "## Revisit when"]


def test_decisions_say_context_choice_cost_and_when_to_revisit() -> None:
    decisions = [name for name in repository_files() if name.startswith("docs/decisions/")]
    assert decisions != []
    problems = []
    for name in decisions:
        if not re.fullmatch(r"docs/decisions/\d{4}-[a-z0-9-]+\.md", name):
            problems.append(f"{name}: not NNNN-title.md")
        headings = [line for line in text_of(name).splitlines() if line.startswith("## ")]
        if headings != DECISION_HEADINGS:
            problems.append(f"{name}: {headings}")
    numbers = Counter(Path(name).name[:4] for name in decisions)
    problems += [f"two decisions have the number {number}" for number, count in numbers.items() if count > 1]
    assert problems == []


def test_shell_scripts_stop_at_the_first_error() -> None:
    scripts = [name for name in repository_files() if text_of(name).startswith(("#!/bin/sh", "#!/usr/bin/env bash"))]
    assert ".ci/venv" in scripts
    assert [name for name in scripts if not re.search(r"^set -eu", text_of(name), re.MULTILINE)] == []
