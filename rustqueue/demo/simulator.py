"""Engines that only pretend: the second system's simulator, for trying a deployment out (contract B5).

`rustqueue worker --app rustqueue.demo.simulator:registry` works on its four kinds. Each kind has steps that take a time
and fail with a probability. Draws come from a hash of job, attempt and step, so that the same job does the same again;
from the second attempt on none fails. Between steps a job says how far it is, and so hears that it shall stop.
"""

import asyncio
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from rustqueue.client.work.registry import WorkerRegistry
from rustqueue.client.work.running import RunningJob

ENGINE: Final = "simulated"


class Step(NamedTuple):
    takes_ms: int
    fails_of_100: int


STEPS: Final = {
    "send_email": (Step(50, 0), Step(50, 45), Step(50, 0)),
    "resize_image": (Step(100, 25), Step(200, 0)),
    "summarize_text": (Step(150, 15),),
    "webhook_delivery": (Step(80, 35), Step(80, 15)),
}


class SimulatedFailure(Exception):
    """A step that was to fail."""


def draw(job_id: str, attempt: int, step: int) -> float:
    """From 0 up to 1, the same for the same job, attempt and step."""
    digest = blake2b(f"{job_id}:{attempt}:{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


async def simulate(job: RunningJob) -> dict[str, Any]:
    """Go through the steps of the job's kind. Raises `SimulatedFailure`, or `JobCancelled` at a safe point."""
    attempt = job.attempt + 1
    steps = STEPS.get(job.queue, ())
    for number, step in enumerate(steps):
        job.raise_if_cancelled()
        await asyncio.sleep(step.takes_ms / 1_000)
        if attempt == 1 and draw(job.id, attempt, number) < step.fails_of_100 / 100:
            raise SimulatedFailure(f"step {number + 1} of {job.queue} failed as drawn")
        job.progress(100 * (number + 1) // len(steps))
    return {"steps": len(steps), "attempt": attempt}


def registry() -> WorkerRegistry:
    """The four kinds, all simulated."""
    made = WorkerRegistry()
    made.register_engine_factory(ENGINE, lambda: simulate)
    for kind in STEPS:
        made.route_queue_to_engine(kind, ENGINE)
    return made
