"""The queue inside one's own program: the methods of the contract, durability, one opener, workers, the examples."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import rustqueue
from rustqueue.client import Conflict, Job, RunningJob, RustQueueError, UnknownEngine, WorkerRegistry
from rustqueue.embedded import NodeError, RustQueue

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


async def until_done(queue: RustQueue, job_id: str, state: str = "completed") -> Job:
    async with asyncio.timeout(60):
        while True:
            job = await queue.get_job(job_id)
            assert job is not None
            if job.state == state:
                return job


def test_the_root_offers_it_and_stays_light() -> None:
    assert rustqueue.RustQueue is RustQueue
    code = "import sys, rustqueue; print([name for name in ('aiohttp', 'msgspec') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError):
        _ = rustqueue.Rust


async def test_the_methods_of_the_contract() -> None:
    async with RustQueue.memory().build() as queue:
        first = await queue.push("q", "n", {"a": 1}, priority=3)
        second = await queue.push("q", "n", max_attempts=1)
        (job,) = await queue.pull("q")
        assert (job.id, job.data, job.priority) == (first, {"a": 1}, 3)
        assert (await queue.update_progress(job, 40, "on its way")).cancel_requested is False
        assert (await queue.heartbeat(job)).lease_expires_at is not None
        await queue.ack(job, {"b": 2})
        done = await queue.get_job(first)
        assert done is not None
        assert (done.state, done.result, done.progress) == ("completed", {"b": 2}, 40)
        (other,) = await queue.pull("q", 1)
        assert (await queue.fail(other, "no")).will_retry is False
        third = await queue.push("q", "n", delay_ms=60_000)
        assert await queue.cancel(third) == "cancelled"
        counts = (await queue.get_queue_stats("q")).counts
        assert (counts.completed, counts.dlq, counts.delayed) == (1, 1, 0)
        assert [summary.name for summary in await queue.list_queues()] == ["q"]
        assert await queue.get_job(second.replace(second[0], "f")) is None
        assert await queue.pull("q") == []


async def test_refusals_are_those_of_the_client() -> None:
    async with RustQueue.memory().build() as queue:
        await queue.push("q", "n", unique_key="one")
        with pytest.raises(Conflict) as refused:
            await queue.push("q", "n", unique_key="one")
        assert (refused.value.code, refused.value.status) == ("DUPLICATE_KEY", 409)
        with pytest.raises(RustQueueError, match="VALIDATION_ERROR"):
            await queue.push("a b", "n")
        with pytest.raises(RustQueueError, match="UNSUPPORTED"):
            queue.subscribe()


@pytest.mark.parametrize("backend", ["rocks", "redb", "hybrid"])
async def test_what_was_pushed_is_there_after_a_restart(tmp_path: Path, backend: str) -> None:
    builder = getattr(RustQueue, backend)(tmp_path / "data").with_write_coalescing(1, 10).with_hybrid_config()
    async with builder.build() as queue:
        job_id = await queue.push("q", "n", 1)
    async with builder.build() as queue:
        job = await queue.get_job(job_id)
    assert job is not None
    assert (job.data, job.state) == (1, "waiting")


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    async with RustQueue.rocks(tmp_path).build() as queue:
        with pytest.raises(NodeError):
            await RustQueue.rocks(tmp_path).build().start()
        await queue.push("q", "n")
    async with RustQueue.rocks(tmp_path).build() as queue:
        assert len(await queue.pull("q")) == 1


async def test_time_passes_without_a_port() -> None:
    """Delays, retries and schedules come due (contract A24 says what the original lacked)."""
    async with RustQueue.memory().build() as queue:
        await queue.push("q", "late", delay_ms=50)
        (late,) = await queue.pull("q", wait_ms=10_000)
        assert (await queue.fail(late, "again")).will_retry is True
        (again,) = await queue.pull("q", wait_ms=10_000)
        assert (again.id, again.attempt) == (late.id, 1)
        await queue.create_schedule("s", "clock", "tick", every_ms=100, max_executions=1)
        (tick,) = await queue.pull("clock", wait_ms=10_000)
        assert tick.name == "tick"


async def test_it_answers_only_while_it_is_open() -> None:
    queue = RustQueue.memory().build()
    with pytest.raises(RustQueueError, match="CLOSED"):
        await queue.push("q", "n")
    await queue.start()
    await queue.push("q", "n")
    await queue.close()
    await queue.close()
    with pytest.raises(RustQueueError, match="CLOSED"):
        await queue.pull("q")


async def test_a_worker_works_here() -> None:
    async with RustQueue.memory().build() as queue:
        worker = queue.worker("q", concurrency=2, wait_ms=100)

        @worker.handler("double")
        async def double(job: RunningJob) -> int:
            return 2 * int(job.data)

        working = asyncio.create_task(queue.run_worker(worker))
        ids = [await queue.push("q", "double", number) for number in range(5)]
        results = [(await until_done(queue, job_id)).result for job_id in ids]
        worker.drain()
        assert (results, (await working).completed) == ([0, 2, 4, 6, 8], 5)


async def test_the_registry_dispatches_by_metadata_then_by_queue() -> None:
    registry = WorkerRegistry()

    def engine(name: str) -> Any:
        async def run(job: RunningJob) -> str:
            if job.data == "bad":
                raise ValueError("no such thing")
            return f"{name} did {job.data}"

        return lambda: run

    registry.register_engine_factory("Simulated", engine("simulated"))
    registry.register_engine_factory("other", engine("other"))
    registry.route_queue_to_engine("q", "SIMULATED")
    with pytest.raises(UnknownEngine):
        registry.route_queue_to_engine("q", "none")
    async with RustQueue.memory().with_worker_registry(registry).build() as queue:
        assert await queue.dispatch_next_with_registered_worker("q") is None
        cases: dict[str, dict[str, Any]] = {"a": {}, "b": {"metadata": {"engine": "OTHER"}}, "bad": {"max_attempts": 1}}
        told = []
        for data, options in cases.items():
            job_id = await queue.push("q", "n", data, **options)
            assert await queue.dispatch_next_with_registered_worker("q") == job_id
            job = await queue.get_job(job_id)
            assert job is not None
            told.append((job.state, job.result or job.last_error))
        assert told == [("completed", "simulated did a"), ("completed", "other did b"), ("dlq", "no such thing")]
        lost = await queue.push("unrouted", "n")
        with pytest.raises(UnknownEngine):
            await queue.dispatch_next_with_registered_worker("unrouted")
        assert (await until_done(queue, lost, "active")).id == lost
    async with RustQueue.memory().build() as queue:
        await queue.push("q", "n")
        with pytest.raises(RustQueueError, match="NO_REGISTRY"):
            await queue.dispatch_next_with_registered_worker("q")
        assert (await queue.get_queue_stats("q")).counts.waiting == 1


PRINTED = {
    "basic.py": "completed: sent to ada@example.org; completed jobs: 1\n",
    "persistent.py": "counted 0 words\ncounted 4 words\ncounted 8 words\n",
    "worker.py": "sent to ada@example.org at try 2\ncompleted 2, failed tries 1\n",
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_examples_run(name: str) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, PRINTED[name]), done.stderr


async def test_the_example_in_a_web_application(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / "aiohttp_background_jobs.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    async with TestClient(TestServer(example.application(str(tmp_path)))) as client:
        asked = await client.post("/reports", json={"of": "sales"})
        job_id = (await asked.json())["id"]
        async with asyncio.timeout(60):
            while (told := await (await client.get(f"/reports/{job_id}")).json())["state"] != "completed":
                pass
    assert (asked.status, told["result"]) == (202, {"of": "sales", "rows": 5})
