"""A queue and its worker inside one program: retries, a schedule, and a soft end.

python examples/worker.py
"""

import asyncio
import sys

from rustqueue import RustQueue
from rustqueue.client import RunningJob


async def main() -> None:
    async with RustQueue.memory().build() as queue:
        worker = queue.worker(["mail", "clock"], concurrency=4, wait_ms=200)
        tries = 0
        sent = asyncio.Event()

        @worker.handler("welcome")
        async def welcome(job: RunningJob) -> str:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ConnectionError("the mail server is away")
            sent.set()
            return f"sent to {job.data['to']} at try {tries}"

        @worker.handler("tick")
        def tick(job: RunningJob) -> None:
            """A plain function runs in a thread."""
            worker.drain()

        job_id = await queue.push("mail", "welcome", {"to": "ada@example.org"}, backoff_delay_ms=50)
        working = asyncio.create_task(queue.run_worker(worker))
        await sent.wait()
        # The tick of a schedule ends the worker, which finishes what it has.
        await queue.create_schedule("end", "clock", "tick", every_ms=100, max_executions=1)
        counts = await working
        job = await queue.get_job(job_id)
        assert job is not None
        sys.stdout.write(f"{job.result}\n")
        sys.stdout.write(f"completed {counts.completed}, failed tries {counts.failed}\n")


if __name__ == "__main__":
    asyncio.run(main())
