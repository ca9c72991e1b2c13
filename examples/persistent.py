"""A queue inside this program, kept in a folder: what was pushed is there after a restart.

python examples/persistent.py [FOLDER]
"""

import asyncio
import sys
import tempfile

from rustqueue import RustQueue


async def first(folder: str) -> None:
    """When `push` has returned, the job is on the disk."""
    async with RustQueue.rocks(folder).build() as queue:
        for number in range(3):
            await queue.push("words", "count", {"text": "to be or not " * number})


async def second(folder: str) -> None:
    async with RustQueue.rocks(folder).build() as queue:
        for job in await queue.pull("words", 10):
            await queue.ack(job, len(job.data["text"].split()))
            sys.stdout.write(f"counted {len(job.data['text'].split())} words\n")


async def main(folder: str) -> None:
    await first(folder)
    await second(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(folder))
