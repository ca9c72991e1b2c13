"""Workflows inside one process: what goes from stage to stage, and what an error stops (contract A24)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rustqueue import RustQueue
from rustqueue.client import Workflow
from rustqueue.client.work.running import RunningJob


@dataclass
class Step:
    does: Callable[[Any], Awaitable[Any]]

    def engine(self) -> str:
        return self.does.__name__

    async def execute(self, value: Any) -> Any:
        return await self.does(value)


async def add(value: int) -> int:
    return value + 1


async def double(value: int) -> int:
    return value * 2


async def refuse(value: Any) -> Any:
    raise OSError("no such picture")


async def test_a_stage_gets_what_the_one_before_it_made() -> None:
    flow = Workflow().then(Step(add)).then(Step(double)).fan_out([Step(add), Step(double), Step(add)])

    assert await flow.execute(4) == [11, 20, 11]
    assert await flow.fan_out_with_join([Step(sum_of), Step(size_of)], max).then(Step(add)).execute(4) == 43


async def sum_of(values: list[int]) -> int:
    return sum(values)


async def size_of(values: list[int]) -> int:
    return len(values)


async def test_a_workflow_without_steps_gives_what_it_got_and_a_longer_one_leaves_it_as_it_is() -> None:
    short = Workflow()
    longer = short.then(Step(add))

    assert [await short.execute("x"), await longer.execute(1), await longer.fan_out([Step(add)]).execute(1)] == [
        "x",
        2,
        [3],
    ]


def test_a_fan_out_needs_steps() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        Workflow().fan_out([])


async def test_steps_of_a_fan_out_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(3)

    async def meet(value: int) -> int:
        return await meeting.wait() * 0 + value

    async with asyncio.timeout(60):
        assert await Workflow().fan_out([Step(meet)] * 3).execute(7) == [7, 7, 7]


async def test_the_first_error_ends_it_and_what_ran_beside_it_has_stopped() -> None:
    begun, stopped = asyncio.Event(), []

    async def wait(value: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(value)

    async def fail(value: int) -> None:
        await begun.wait()
        await refuse(value)

    flow = Workflow().then(Step(add)).fan_out([Step(wait), Step(fail), Step(wait)]).then(Step(add))

    with pytest.raises(OSError, match="no such picture") as caught:
        await flow.execute(1)

    assert stopped == [2, 2]
    assert caught.value.__notes__ == ["in stage 2 of a workflow, engine 'fail'"]


async def test_a_handler_runs_a_workflow_and_its_result_is_that_of_the_job() -> None:
    flow = Workflow().fan_out([Step(add), Step(double)])

    async with RustQueue.memory().build() as queue:
        worker = queue.worker(["sums"])

        @worker.handler("sum")
        async def handle(job: RunningJob) -> Any:
            worker.drain()
            return await flow.execute(job.data)

        job_id = await queue.push("sums", "sum", 5)
        async with asyncio.timeout(60):
            await queue.run_worker(worker)
        job = await queue.get(job_id)

    assert job is not None
    assert (job.state, job.result) == ("completed", [6, 10])
