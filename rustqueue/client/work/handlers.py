"""Running a handler: from a job to an outcome that can be reported. No I/O of its own."""

import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from rustqueue.client.work.running import JobCancelled, RunningJob
from rustqueue.model import limits

Handler = Callable[[RunningJob], Any]
"""Takes the job, returns its result (anything that JSON can say)."""

logger = logging.getLogger("rustqueue.worker")

_encode = msgspec.json.Encoder().encode


class Done(NamedTuple):
    job: RunningJob
    result: Raw


class Broken(NamedTuple):
    job: RunningJob
    error: str
    cancelled: bool = False


Outcome = Done | Broken


class Handlers:
    """Handlers by job name, and one for all other names."""

    def __init__(self, default: Handler | None) -> None:
        self._default = default
        self._by_name: dict[str, Handler] = {}

    def add(self, name: str, handler: Handler) -> None:
        if name in self._by_name:
            raise ValueError(f"there is already a handler for {name!r}")
        self._by_name[name] = handler

    def find(self, name: str) -> Handler | None:
        return self._by_name.get(name, self._default)

    def __bool__(self) -> bool:
        return self._default is not None or bool(self._by_name)


def is_async(handler: Handler) -> bool:
    """True for an `async def`, also behind `functools.partial` or as `__call__` of an object."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def run(job: RunningJob, handler: Handler) -> Outcome:
    """Call a plain handler."""
    try:
        return done(job, handler(job))
    except Exception as error:
        return broken(job, error)


async def run_async(job: RunningJob, handler: Handler) -> Outcome:
    """Await an async handler. A cancelled task is no outcome: `CancelledError` goes through."""
    try:
        return done(job, await handler(job))
    except Exception as error:
        return broken(job, error)


def done(job: RunningJob, result: Any) -> Outcome:
    """The outcome of a handler that returned. A result that cannot be sent is an error of the handler."""
    try:
        text = _encode(result)
    except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
        return Broken(job, error_text(f"The result cannot be sent as JSON: {error}"))
    if len(text) > limits.RESULT_BYTES_MAX:
        return Broken(job, f"The result has {len(text)} bytes, the limit is {limits.RESULT_BYTES_MAX}")
    return Done(job, Raw(text))


def broken(job: RunningJob, error: Exception) -> Outcome:
    """The outcome of a handler that raised. The node gets one line, the worker's log the whole traceback."""
    if isinstance(error, JobCancelled):
        return Broken(job, error_text(str(error) or "cancelled"), cancelled=True)
    logger.warning("job %s (%s of queue %s) failed", job.id, job.name, job.queue, exc_info=error)
    return Broken(job, error_text(f"{type(error).__name__}: {error}"))


def error_text(text: str) -> str:
    """At most as many bytes as the node takes, and nothing that JSON cannot carry."""
    return text.encode("utf-8", "replace")[: limits.ERROR_BYTES_MAX].decode("utf-8", "ignore")
