"""A queue inside this program, in memory: push a job, pull it, acknowledge it.

python examples/basic.py
"""

import asyncio
import sys

from rustqueue import RustQueue


async def main() -> None:
    async with RustQueue.memory().build() as queue:
        job_id = await queue.push("mail", "welcome", {"to": "ada@example.org"}, priority=5)
        for job in await queue.pull("mail"):
            await queue.update_progress(job, 50, "letter written")
            await queue.ack(job, f"sent to {job.data['to']}")
        done = await queue.get_job(job_id)
        assert done is not None
        counts = (await queue.get_queue_stats("mail")).counts
        sys.stdout.write(f"{done.state}: {done.result}; completed jobs: {counts.completed}\n")


if __name__ == "__main__":
    asyncio.run(main())
