"""The work itself: which files there are, what one file holds, and what all of them add up to.

Pure but for reading the files; knows nothing of queues. The demo's workers and its plain loop for comparison both call
`read_source`, and both totals are made by `total_of`.
"""

import ast
import hashlib
import sysconfig
import warnings
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__"})


class Facts(Struct, frozen=True, tag="file"):
    """What a worker found in one file: the result of its job. `error` says why it could not be read or parsed."""

    path: str
    size_bytes: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    sha256: str = ""
    error: str | None = None


class Totals(Struct, frozen=True, tag="total"):
    """The sum over files. `digest` depends on every path and every content, not on the order of addition."""

    files: int = 0
    size_bytes: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    unparsed: int = 0
    digest: str = "0" * 64


def add_totals(one: Totals, other: Totals) -> Totals:
    """Digests are added as numbers: a sum, unlike a hash of a list, can be made in parts and in any order."""
    digest = (int(one.digest, 16) + int(other.digest, 16)) % 2**256
    return Totals(
        files=one.files + other.files,
        size_bytes=one.size_bytes + other.size_bytes,
        lines=one.lines + other.lines,
        functions=one.functions + other.functions,
        classes=one.classes + other.classes,
        unparsed=one.unparsed + other.unparsed,
        digest=f"{digest:064x}",
    )


def library_folder() -> Path:
    """The standard library of the Python that runs."""
    return Path(sysconfig.get_path("stdlib"))


def list_sources(root: Path, limit: int | None = None) -> list[str]:
    """Paths of the Python files below `root`, sorted and relative to it; packages installed by others are left out."""
    found = (path.relative_to(root) for path in root.rglob("*.py") if path.is_file())
    names = sorted(str(path) for path in found if not FOREIGN_FOLDERS & set(path.parts))
    return names[:limit]


def read_source(root: Path, name: str) -> Facts:
    """Read, hash and parse one file. Some files of the library are broken on purpose: that is a result as well."""
    try:
        content = (root / name).read_bytes()
    except OSError as error:
        return Facts(name, error=f"{type(error).__name__}: {error.strerror}")
    lines = content.count(b"\n") + (content[-1:] not in (b"", b"\n"))
    digest = hashlib.sha256(content).hexdigest()
    try:
        with warnings.catch_warnings():
            # Old test files hold invalid escapes; the parser warns about each.
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Facts(name, len(content), lines, 0, 0, digest, f"{type(error).__name__}: {str(error)[:80]}")
    functions = classes = 0
    for node in ast.walk(tree):
        functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        classes += isinstance(node, ast.ClassDef)
    return Facts(name, len(content), lines, functions, classes, digest)


def total_of(results: Iterable[Facts | Totals]) -> Totals:
    """The sum of files, of sums, or of both."""
    total = Totals()
    for result in results:
        total = add_totals(total, result if isinstance(result, Totals) else _one_file(result))
    return total


def _one_file(fact: Facts) -> Totals:
    digest = hashlib.sha256(f"{fact.path}\0{fact.sha256}".encode()).hexdigest()
    unparsed = int(fact.error is not None)
    return Totals(1, fact.size_bytes, fact.lines, fact.functions, fact.classes, unparsed, digest)
