"""An executor of our own in the worker process: it keeps what it needs, says how far it is, stops when it is asked to.

rustqueue worker --app custom_executor:registry       # from this folder, with a node running
"""

import asyncio
from collections import Counter
from typing import Any

from rustqueue.client import JobCancelled, RunningJob, WorkerRegistry


class WordCounter:
    """Counts words, sentence by sentence. One object serves all jobs, as a pool of connections would."""

    def __init__(self) -> None:
        self.jobs_count = 0

    async def __call__(self, job: RunningJob) -> dict[str, Any]:
        self.jobs_count += 1
        sentences = [part for part in job.data["text"].split(".") if part.strip()]
        if not sentences:
            raise ValueError("there is nothing to count")  # The job's error; it is tried again as its options say.
        words: Counter[str] = Counter()
        for number, sentence in enumerate(sentences, 1):
            if job.cancel_requested():
                raise JobCancelled("stopped between two sentences")
            words.update(sentence.lower().split())
            job.progress(100 * number // len(sentences), f"{number} of {len(sentences)} sentences")
            await asyncio.sleep(job.data.get("pause_s", 0))
        return {"words": words.total(), "different": len(words)}


def shout(job: RunningJob) -> str:
    """A plain function is an executor too; it runs in a thread."""
    return str(job.data["text"]).upper()


def registry() -> WorkerRegistry:
    """Texts are counted; a job whose metadata say `{"engine": "shout"}` goes to the other one."""
    counter = WordCounter()
    made = WorkerRegistry()
    made.register_engine_factory("count", lambda: counter)
    made.register_engine_factory("shout", lambda: shout)
    made.route_queue_to_engine("summarize_text", "count")
    return made
