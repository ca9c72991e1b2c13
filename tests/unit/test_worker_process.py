"""The worker process: engines at work for the second system's jobs, metrics and probes, its end, how it is started."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from rustqueue.cli.parsing import UsageError
from rustqueue.cli.program import build_parser, run
from rustqueue.cli.worker import plan_of
from rustqueue.client import AsyncClient, Client, JobCancelled, RunningJob, WorkerRegistry
from rustqueue.client.process.app import AppError, load_registry
from rustqueue.client.process.run import ProcessPlan, WorkerProcess
from rustqueue.demo import simulator
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings
from tests.unit.worker_at_work import DEADLINE_S, ended

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KIND = "summarize_text"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports:
        yield ports


class Told(NamedTuple):
    status: int
    head: str
    text: str


async def get(port: int, path: str, method: str = "GET") -> Told:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return Told(int(head.split()[1]), head.decode(), body.decode())


@asynccontextmanager
async def process(node: Ports, registry: WorkerRegistry, **options: Any) -> AsyncIterator[tuple[WorkerProcess, int]]:
    """A process at work, and the port of its probes."""
    plan = ProcessPlan(url=node.url("tcp"), metrics_host="127.0.0.1", metrics_port=0, wait_ms=100, **options)
    made = WorkerProcess(plan, registry)
    running = asyncio.create_task(made.run(signals=False))
    try:
        async with asyncio.timeout(DEADLINE_S):
            # Only its probes tell that it is ready.
            while made.probes is None or not made.probes.port or (await get(made.probes.port, "/readyz")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield made, made.probes.port
    finally:
        made.drain()
        async with asyncio.timeout(DEADLINE_S):
            await running


def samples(text: str, name: str) -> dict[str, float]:
    """Values of a metric by its labels."""
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? ([\d.e+-]+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


async def test_jobs_run_and_are_counted_by_kind_and_outcome(node: Ports) -> None:
    async def engine(job: RunningJob) -> str:
        if job.data["text"] == "bad":
            raise ValueError("no such text")
        if job.data["text"] == "stop":
            raise JobCancelled("stopped")
        return f"{job.queue}: {job.data['text']}"

    registry = WorkerRegistry()
    registry.register_engine_factory("e", lambda: engine)
    registry.route_queue_to_engine("texts", "e")
    async with process(node, registry) as (_, port), AsyncClient(node.url("tcp")) as client:
        good = await client.push("texts", "n", {"text": "good"})
        bad = await client.push("texts", "n", {"text": "bad"}, max_attempts=2, backoff="fixed", backoff_delay_ms=0)
        stop = await client.push("texts", "n", {"text": "stop"})
        jobs = [await ended(client, job_id, "completed", "dlq", "cancelled") for job_id in (good, bad, stop)]
        # The process counts what it has heard the answer to, which may be a moment after the job is seen to have ended.
        async with asyncio.timeout(DEADLINE_S):
            while sum(samples((await get(port, "/metrics")).text, "worker_jobs_completed_total").values()) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        metrics = await get(port, "/metrics")

    assert [(job.state, job.result, job.last_error) for job in jobs] == [
        ("completed", "texts: good", None),
        ("dlq", None, "ValueError: no such text"),
        ("cancelled", None, None),
    ]
    assert "Content-Type: text/plain; version=0.0.4" in metrics.head
    assert samples(metrics.text, "worker_jobs_started_total") == {'kind="texts"': 4}
    outcomes = {f'kind="texts",outcome="{name}"': 1 for name in ("succeeded", "retrying", "failed_permanent")}
    outcomes['kind="texts",outcome="cancelled"'] = 1
    assert samples(metrics.text, "worker_jobs_completed_total") == outcomes
    assert samples(metrics.text, "worker_job_duration_seconds_count") == outcomes
    buckets = samples(metrics.text, "worker_job_duration_seconds_bucket")
    assert buckets['kind="texts",outcome="succeeded",le="+Inf"'] == 1


async def test_the_small_port(node: Ports) -> None:
    async with process(node, simulator.registry()) as (made, port):
        told = [await get(port, path) for path in ("/livez", "/readyz", "/other")]
        wrong = await get(port, "/metrics", "POST")
        head = await get(port, "/livez", "HEAD")
        made.drain()
        unready = await get(port, "/readyz")

    assert [(answer.status, answer.text) for answer in told] == [
        (200, "ok\n"),
        (200, "ok\n"),
        (404, "there are /metrics, /livez and /readyz\n"),
    ]
    assert (wrong.status, head.status, head.text, unready.status) == (405, 200, "", 503)


async def test_two_processes_run_each_job_once(node: Ports) -> None:
    ran: list[str] = []

    async def engine(job: RunningJob) -> None:
        await asyncio.sleep(0.003)
        ran.append(job.id)

    registry = WorkerRegistry()
    registry.register_engine_factory("e", lambda: engine)
    registry.route_queue_to_engine("shared", "e")
    async with process(node, registry), process(node, registry), AsyncClient(node.url("tcp")) as client:
        ids = await client.push_batch("shared", [{"name": "n", "data": number} for number in range(200)])
        for job_id in ids:
            await ended(client, job_id, "completed")

    assert sorted(ran) == sorted(ids)


async def test_the_simulator_works_on_the_four_kinds(node: Ports) -> None:
    async with process(node, simulator.registry(), concurrency=8) as _, AsyncClient(node.url("tcp")) as client:
        ids = [await client.push(kind, kind, {}, backoff="fixed", backoff_delay_ms=1) for kind in simulator.STEPS] * 3
        jobs = [await ended(client, job_id, "completed") for job_id in ids]

    for job in jobs:
        steps = simulator.STEPS[job.queue]
        fails = [simulator.draw(job.id, 1, number) < step.fails_of_100 / 100 for number, step in enumerate(steps)]
        assert job.result == {"steps": len(steps), "attempt": 2 if any(fails) else 1}
        assert (job.last_error is not None) is any(fails)


async def test_a_running_job_stops_at_its_next_step(node: Ports) -> None:
    registry = load_example("custom_executor:registry")
    async with process(node, registry) as _, AsyncClient(node.url("tcp")) as client:
        job_id = await client.push(KIND, "n", {"text": "one. " * 1_000, "pause_s": 0.02})
        async with asyncio.timeout(DEADLINE_S):
            while (job := await client.get(job_id)) is None or job.progress is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await client.cancel(job_id, running=True)
        job = await ended(client, job_id, "cancelled")

    assert job.state == "cancelled"


def load_example(text: str) -> WorkerRegistry:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return load_registry(text)
    finally:
        sys.path.remove(str(EXAMPLES))


# As a process.


@contextmanager
def started(words: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "rustqueue", *words]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUSTQUEUE")}
    root = {"PYTHONPATH": str(EXAMPLES.parent)}
    with subprocess.Popen(
        command,
        env={**inherited, **root, **environment},
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: "subprocess.Popen[str]", event: str) -> dict[str, Any]:
    """The first line of the process's log with this event."""
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = msgspec.json.decode(line) if line.startswith("{") else {}
        if found.get("event") == event:
            return found
    raise AssertionError(f"the process ended without {event!r}")


def test_an_executor_of_our_own_is_put_to_work_by_name(node: Ports) -> None:
    words = ["worker", "--app", "custom_executor:registry", "--url", node.url("http"), "--metrics", "127.0.0.1:0"]
    with started(words, {"RUST_LOG_FORMAT": "json", "WORKER_CONCURRENCY": "2"}) as process:
        with Client(node.url("http")) as client:
            counted = client.push(KIND, "n", {"text": "To be. Or not to be."})
            shouted = client.push(KIND, "n", {"text": "hey"}, metadata={"engine": "SHOUT"})
            results = [client.result(job_id, wait_ms=60_000).result for job_id in (counted, shouted)]
        begins = line_with(process, "worker begins")
        process.send_signal(signal.SIGTERM)
        ends = line_with(process, "worker ends")
        code = process.wait(DEADLINE_S)

    assert results == [{"words": 6, "different": 4}, "HEY"]
    assert begins["queues"] == [KIND]
    assert begins["metrics_port"] > 0
    assert (code, ends["completed"], ends["failed"]) == (0, 2, 0)


def test_the_compose_file_of_the_second_system(tmp_path: Path) -> None:
    """Its commands and variables run here as they stand, but for addresses."""
    services = yaml.safe_load((EXAMPLES / "compose" / "jobs.yaml").read_text())["services"]
    api, worker = services["api"], services["worker"]
    assert api["environment"]["API_BIND_ADDR"] == "0.0.0.0:8080"
    assert worker["environment"]["WORKER_METRICS_BIND_ADDR"] == "0.0.0.0:9091"
    here = {"API_BIND_ADDR": "127.0.0.1:0", "RUSTQUEUE_STORAGE__PATH": str(tmp_path)}
    ports = {"RUSTQUEUE_HTTP_PORT": "0", "RUSTQUEUE_TCP_PORT": "0", "RUSTQUEUE_SERVER__HOST": "127.0.0.1"}
    with started(["serve"], {**api["environment"], **here, **ports}) as node:
        ready = line_with(node, "ready")
        url = f"tcp://127.0.0.1:{ready['tcp_port']}"
        own = {"RUSTQUEUE_URL": url, "WORKER_METRICS_BIND_ADDR": "127.0.0.1:0"}
        with started(worker["command"], {**worker["environment"], **own}) as working:
            body = {"kind": KIND, "payload": {"text": "lorem"}}
            job = asyncio.run(until_succeeded(ready["jobs_port"], body))
            working.send_signal(signal.SIGTERM)
            codes = [working.wait(DEADLINE_S)]
        node.send_signal(signal.SIGTERM)
        codes.append(node.wait(DEADLINE_S))

    assert (job["status"], job["kind"], job["attempts"] in (1, 2)) == ("succeeded", KIND, True)
    assert codes == [0, 0]


async def until_succeeded(port: int, body: dict[str, Any]) -> Any:
    """A job of the second system, created and read as its clients do."""
    from aiohttp import ClientSession

    async with ClientSession(f"http://127.0.0.1:{port}") as session, asyncio.timeout(DEADLINE_S):
        async with session.post("/jobs", json=body) as answer:
            assert answer.status == 201
            job = await answer.json()
        while job["status"] != "succeeded":
            await asyncio.sleep(0.05)
            async with session.get(f"/jobs/{job['id']}") as answer:
                job = await answer.json()
    return job


# How it is told what to do.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module", "is not MODULE:REGISTRY"),
        (":x", "is not MODULE:REGISTRY"),
        ("nothing_called_so:x", "there is no module 'nothing_called_so'"),
        ("rustqueue.demo.nothing:x", "there is no module 'rustqueue.demo.nothing'"),
        ("rustqueue.demo.simulator:other", "module 'rustqueue.demo.simulator' has no 'other'"),
        ("rustqueue.demo.simulator:ENGINE", "is a str, expected a WorkerRegistry"),
    ],
)
def test_a_registry_that_is_none(text: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AppError, match=re.escape(reason)):
        load_registry(text)
    assert run(["worker", "--app", text]) == 2
    assert reason in capsys.readouterr().err


def test_an_address_that_is_none_is_told_before_anything_begins(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["worker", "--app", "rustqueue.demo.simulator:registry", "--url", "http://ann:pass@127.0.0.1:1"]
    assert run(words) == 2
    said = capsys.readouterr()
    assert (said.out, "give the token as token=" in said.err) == ("", True)


def test_a_registry_may_stand_there_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_engines.py").write_text(
        "from rustqueue.client import WorkerRegistry\nclass App:\n    registry = WorkerRegistry()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_registry("own_engines:App.registry").queues == []
    with pytest.raises(ValueError, match="routes no queue"):
        WorkerProcess(ProcessPlan(url="tcp://127.0.0.1:1"), WorkerRegistry())


def planned(environment: dict[str, str], *words: str) -> ProcessPlan:
    return plan_of(build_parser().parse_args(["worker", "--app", "x:y", *words]), environment)


def test_flags_come_before_variables_and_variables_before_defaults() -> None:
    url = "http://127.0.0.1:6790"
    assert planned({}) == ProcessPlan(url=url, concurrency=4, grace_s=30, metrics_host="0.0.0.0", metrics_port=9091)
    its = {"WORKER_CONCURRENCY": "8", "WORKER_METRICS_BIND_ADDR": "[::1]:9000", "RUSTQUEUE_URL": "tcp://a:1"}
    assert planned(its) == ProcessPlan(url="tcp://a:1", concurrency=8, metrics_host="::1", metrics_port=9000)
    words = ("--concurrency", "2", "--metrics", "off", "--grace-s", "0", "--lease-ms", "5000", "--queue", "a")
    assert planned(its, *words, "--queue", "b", "--worker-id", "w", "--token", "t") == ProcessPlan(
        url="tcp://a:1",
        token="t",
        queues=["a", "b"],
        concurrency=2,
        lease_ms=5_000,
        worker_id="w",
        grace_s=0,
        metrics_port=None,
    )


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", ""])
def test_a_number_of_workers_that_is_none_is_the_default(text: str) -> None:
    assert planned({"WORKER_CONCURRENCY": text}).concurrency == 4


@pytest.mark.parametrize("text", ["9091x", "host", "host:99999"])
def test_an_address_for_metrics_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not HOST:PORT"):
        planned({"WORKER_METRICS_BIND_ADDR": text})
