"""asyncio: push many jobs at once over one connection, then wait for their results.

python examples/watch.py [URL]
"""

import asyncio
import sys

from rustqueue.client import AsyncClient, Job

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:6789"
TEXTS = ["all the world", "is a stage", "and all the men and women merely players"]


async def finished(client: AsyncClient, job_id: str) -> Job:
    while True:
        job = await client.get(job_id)
        assert job is not None
        if job.state in ("completed", "dlq", "cancelled"):
            return job
        await asyncio.sleep(0.1)


async def main() -> None:
    async with AsyncClient(URL) as client:
        ids = await asyncio.gather(*(client.push("words", "count", {"text": text}) for text in TEXTS))
        jobs = await asyncio.gather(*(finished(client, job_id) for job_id in ids))
        for text, job in zip(TEXTS, jobs, strict=True):
            sys.stdout.write(f"{text!r}: {job.state}, {job.result} words\n")


if __name__ == "__main__":
    asyncio.run(main())
