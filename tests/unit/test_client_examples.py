"""The examples run as they stand, and a signal ends a worker softly."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rustqueue.client import Client
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports:
        yield ports


def run(name: str, url: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def worker(url: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(EXAMPLES / "mail_worker.py"), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def result_of(client: Client, job_id: str) -> object:
    """The result once it is there."""
    ends_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_s:
        job = client.get(job_id)
        assert job is not None
        if job.state == "completed":
            return job.result
    raise TimeoutError(job_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_examples_work_together(node: Ports, number: signal.Signals) -> None:
    # Given the jobs of the first example
    lines = run("push.py", node.url("http")).splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "mail/welcome: waiting",
        "mail/welcome: delayed",
        "words/count: waiting",
        "words/count: waiting",
        "words/total: blocked",
    ]
    # When the worker runs, and the third example waits for it
    with worker(node.url("tcp")) as process:
        assert run("watch.py", node.url("tcp")).splitlines() == [
            "'all the world': completed, 3 words",
            "'is a stage': completed, 3 words",
            "'and all the men and women merely players': completed, 8 words",
        ]
        with Client(node.url("tcp")) as client:
            results = [result_of(client, line.split()[0]) for line in lines if "delayed" not in line]
        # Then a signal ends it with nothing left over
        process.send_signal(number)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, results) == (0, ["sent to ada@example.org", 6, 4, 10])
    assert output == "WorkerCounts(pulled=7, completed=7, failed=0, cancelled=0, stale=0)\n"
    assert "finishing the jobs that are here" in errors


def test_a_second_signal_ends_a_worker_at_once(node: Ports, tmp_path: Path) -> None:
    program = tmp_path / "stuck.py"
    program.write_text(
        "import sys, threading\n"
        "from rustqueue.client import Worker\n"
        "worker = Worker(sys.argv[1], 'stuck', concurrency=1)\n"
        "@worker.handler('n')\n"
        "def handle(job):\n"
        "    print('begun', flush=True)\n"
        "    threading.Event().wait()\n"
        "worker.run()\n"
    )
    with Client(node.url("tcp")) as client:
        client.push("stuck", "n")
    command = [sys.executable, str(program), node.url("tcp")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        process.terminate()
        # The second signal may fall together with the first; then one more is needed.
        while process.poll() is None:
            process.terminate()
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        # A signal that comes while the interpreter goes away meets its default handler.
        assert process.returncode in (0, -signal.SIGTERM)
