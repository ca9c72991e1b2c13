"""A worker for the jobs of `examples/push.py`. Ctrl-C or SIGTERM: it finishes what it has and ends.

python examples/mail_worker.py [URL]
"""

import logging
import sys

from rustqueue.client import RunningJob, Worker

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:6789"

worker = Worker(URL, ["mail", "words"], concurrency=4)


@worker.handler("welcome")
def welcome(job: RunningJob) -> str:
    """A plain function runs in a thread. What it returns is the job's result."""
    job.progress(50, "letter written")
    return f"sent to {job.data['to']}"


@worker.handler("count")
async def count(job: RunningJob) -> int:
    """An async function runs on the event loop."""
    return len(job.data["text"].split())


@worker.handler("total")
def total(job: RunningJob) -> int:
    """Results of the jobs it depends on are at hand."""
    return sum(job.parent_results.values())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.stdout.write(f"{worker.run()}\n")
