"""Where a client and a worker tell a tracing library what they do, and how its context travels: in the job itself.

It must not know any library (`telemetry` has OpenTelemetry). Invariants: a `traceparent` that the caller gave stays; a
call that stores no job is not told.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import wraps
from typing import Any, Protocol, TypeVar

import msgspec

from rustqueue.client.call import Call
from rustqueue.client.work.handlers import Handler, is_async
from rustqueue.client.work.running import RunningJob
from rustqueue.model.commands import Push, PushBatch
from rustqueue.model.jobs import JobItem

T = TypeVar("T")


class Tracing(Protocol):
    """What is asked of a library. Both are entered and left on the thread or task that does the work."""

    def pushing(self, queue: str, count: int) -> AbstractContextManager[str | None]:
        """Around a push; gives the W3C `traceparent` that the jobs shall carry, None for none."""
        ...

    def running(self, job: RunningJob) -> AbstractContextManager[None]:
        """Around a handler; an exception that passes is one of the handler."""
        ...


def jobs_in(call: Call[T]) -> tuple[str, Sequence[JobItem]] | None:
    """Queue and jobs of a call that stores some. Pushes inside a transaction carry what their caller gives them."""
    request = call.request
    if isinstance(request, Push):
        return request.queue, [request]
    return (request.queue, request.jobs) if isinstance(request, PushBatch) else None


def with_context(call: Call[T], traceparent: str | None) -> Call[T]:
    """The call with the context in every job that has none."""
    request = call.request
    if traceparent is None:
        return call
    if isinstance(request, Push):
        return replace(call, request=_with_context(request, traceparent))
    assert isinstance(request, PushBatch), "only pushes store jobs"
    jobs = [_with_context(job, traceparent) for job in request.jobs]
    return replace(call, request=msgspec.structs.replace(request, jobs=jobs))


def _with_context(job: JobItem, traceparent: str) -> JobItem:
    given = job.traceparent or (job.options is not None and job.options.traceparent)
    return job if given else msgspec.structs.replace(job, traceparent=traceparent)


def traced(tracing: Tracing, handler: Handler) -> Handler:
    """The handler inside a span of its own; awaited if it was."""
    if is_async(handler):

        @wraps(handler)
        async def run_async(job: RunningJob) -> Any:
            with tracing.running(job):
                return await handler(job)

        return run_async

    @wraps(handler)
    def run(job: RunningJob) -> Any:
        with tracing.running(job):
            return handler(job)

    return run
