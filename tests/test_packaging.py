"""What a user gets from `pip install`: built, installed and used in fresh environments, never from this checkout.

Slow (environments are made and filled), so it has a marker of its own: `make test-packaging`. The interpreters are
those named in RUSTQUEUE_PYTHONS, separated by spaces, or else the one that runs the tests.
"""

import os
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from pathlib import Path

import pytest

from rustqueue import __version__ as VERSION
from rustqueue.demo.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = os.environ.get("RUSTQUEUE_PYTHONS", sys.executable).split()
COMMAND_DEADLINE_S = 600
READY_DEADLINE_PROBES = 600
PROBE_PAUSE_S = 0.05

pytestmark = pytest.mark.packaging


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # No PYTHONPATH and a folder elsewhere: the checkout must not be what is imported.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=COMMAND_DEADLINE_S
    )


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution. The wheel is built from the source distribution, as an installer would."""
    out = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    [wheel], [source] = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


def an_environment(python: str, folder: Path, lock: str, wheel: Path) -> Path:
    """A fresh environment with the locked requirements and the wheel; the folder of its programs."""
    succeed(python, "-m", "venv", folder, cwd=folder.parent)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    succeed(*pip, "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements" / lock, cwd=folder.parent)
    succeed(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    succeed(*pip, "check", cwd=folder.parent)
    return folder / "bin"


@pytest.fixture(scope="session", params=PYTHONS)
def bare(request: pytest.FixtureRequest, built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_environment(request.param, tmp_path_factory.mktemp("bare") / "env", "client.txt", built[0])


@pytest.fixture(scope="session", params=PYTHONS)
def complete(
    request: pytest.FixtureRequest, built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return an_environment(request.param, tmp_path_factory.mktemp("complete") / "env", "server.txt", built[0])


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def a_node(command: list[str], folder: Path) -> Iterator[int]:
    """A node in a process of its own, stopped politely at the end; yields its HTTP port."""
    http_port, tcp_port = free_port(), free_port()
    words = [*command, "serve", "--data", str(folder / "data")]
    words += ["--http-port", str(http_port), "--tcp-port", str(tcp_port)]
    log = folder / "node.log"
    with log.open("wb") as output, subprocess.Popen(words, cwd=folder, stdout=output, stderr=output) as node:
        try:
            for _ in range(READY_DEADLINE_PROBES):
                if is_ready(http_port):
                    break
                # The pause between two probes is a wait for the end of the process: a dead node fails the test at once.
                try:
                    node.wait(PROBE_PAUSE_S)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"the node ended with code {node.returncode}: {log.read_text()}")
            else:
                pytest.fail(f"the node did not become ready: {log.read_text()}")
            yield http_port
            node.terminate()
            assert node.wait(60) == 0, log.read_text()
        finally:
            node.kill()


PUSH_AND_READ_BACK = """
import sys
from rustqueue.client import Client

assert not any(name in sys.modules for name in ("aiohttp", "rocksdict", "pysyncobj", "uvloop"))
with Client(sys.argv[1]) as client:
    job_id = client.push("packaging", "greet", {"hello": "world"})
    job = client.get(job_id)
    print(job.state, job.data)
"""


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_both_packages_and_nothing_else(built: tuple[Path, Path]) -> None:
    # Pure Python: one wheel for every interpreter and machine.
    assert built[0].name == f"rustqueue-{VERSION}-py3-none-any.whl"
    names = names_in(built[0])
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert {name.split("/")[0] for name in names - info} == {"rustqueue", "rustqueue_operator"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "rustqueue").rglob("*.py")}
    sources |= {str(path.relative_to(ROOT / "operator")) for path in (ROOT / "operator").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert {"rustqueue/py.typed", "rustqueue_operator/py.typed"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in info)


def test_the_wheel_requires_msgspec_and_offers_the_extras(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        headers = message_from_string(archive.read(metadata).decode())
    required = [line for line in headers.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert (required, headers["Requires-Python"], headers["License-Expression"]) == (
        ["msgspec>=0.19"],
        ">=3.11",
        "Apache-2.0",
    )
    assert set(headers.get_all("Provides-Extra", [])) == {"server", "operator", "tracing", "objects", "all", "dev"}


def test_the_source_distribution_can_be_tested(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.split("/", maxsplit=1)[1] for name in archive.getnames() if "/" in name}
    assert {"LICENSE", "Makefile", "pyproject.toml", "tests/test_tidy.py", "requirements/dev.txt", ".ci/venv"} <= names
    assert not any(name.startswith((".venv", ".git/")) for name in names)


def test_a_bare_installation_is_a_client(bare: Path, tmp_path: Path) -> None:
    version = succeed(bare / "python", "-c", "import rustqueue; print(rustqueue.__version__)", cwd=tmp_path)
    # Given a node that runs from the development environment
    with a_node([sys.executable, "-m", "rustqueue"], tmp_path) as port:
        # When the bare installation pushes to it
        pushed = succeed(bare / "python", "-c", PUSH_AND_READ_BACK, f"http://127.0.0.1:{port}", cwd=tmp_path)
    # Then the job is there
    assert (version, pushed) == (f"{VERSION}\n", "waiting {'hello': 'world'}\n")


def test_a_bare_installation_has_help(bare: Path, tmp_path: Path) -> None:
    text = succeed(bare / "rustqueue", "--help", cwd=tmp_path)
    assert [verb for verb in ("serve", "demo", "push", "pull", "inspect", "queues") if verb not in text] == []


def test_a_server_command_names_the_missing_extra(bare: Path, tmp_path: Path) -> None:
    refused = run(bare / "rustqueue", "serve", "--data", tmp_path / "data", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "pip install 'rustqueue[server]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_object_store_names_the_missing_extra(bare: Path, tmp_path: Path) -> None:
    refused = run(bare / "rustqueue", "backup", "verify", "s3://backups/jobs.rqb", cwd=tmp_path)
    assert refused.returncode != 0
    assert "pip install 'rustqueue[objects]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_server_installation_serves(complete: Path, tmp_path: Path) -> None:
    with a_node([str(complete / "rustqueue")], tmp_path) as port:
        pushed = succeed(complete / "python", "-c", PUSH_AND_READ_BACK, f"http://127.0.0.1:{port}", cwd=tmp_path)
    assert pushed == "waiting {'hello': 'world'}\n"
