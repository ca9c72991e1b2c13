"""Spans of clients and workers by OpenTelemetry: `pip install 'rustqueue[tracing]'`, or any later `opentelemetry-api`.

The only module of the client that knows the library; import it by name, since the bare package does without. Spans go
where the program's own tracer provider sends them. Invariant: no payload, result or token is ever an attribute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import rustqueue
from rustqueue.client.work.running import RunningJob

_HEADER: Final = "traceparent"
_contexts: Final = TraceContextTextMapPropagator()


class OpenTelemetry:
    """Give it to clients (`client.tracing`) and workers (`tracing=`). Without a provider it takes the global one.

    A push is a span of kind producer, and its context travels in the jobs. A handler runs in a span of kind consumer
    that is linked to the push: a trace of its own, since a job may run hours later and more than once.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer: Tracer = trace.get_tracer("rustqueue", rustqueue.__version__, provider)

    @contextmanager
    def pushing(self, queue: str, count: int) -> Iterator[str | None]:
        attributes: dict[str, str | int] = {
            "messaging.system": "rustqueue",
            "messaging.operation.type": "send",
            "messaging.destination.name": queue,
            "messaging.batch.message_count": count,
        }
        with self._tracer.start_as_current_span(f"send {queue}", kind=SpanKind.PRODUCER, attributes=attributes):
            carrier: dict[str, str] = {}
            _contexts.inject(carrier)
            yield carrier.get(_HEADER)

    @contextmanager
    def running(self, job: RunningJob) -> Iterator[None]:
        attributes: dict[str, str | int] = {
            "messaging.system": "rustqueue",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.id,
            "rustqueue.job.name": job.name,
            "rustqueue.job.attempt": job.attempt,
            "rustqueue.job.fence": job.fence,
        }
        with self._tracer.start_as_current_span(
            f"process {job.queue}", kind=SpanKind.CONSUMER, attributes=attributes, links=_links_of(job)
        ):
            yield


def _links_of(job: RunningJob) -> list[Link]:
    """To the span that stored the job; nothing if what it carries is no context."""
    carried = job.record.traceparent
    if not carried:
        return []
    context = trace.get_current_span(_contexts.extract({_HEADER: carried})).get_span_context()
    return [Link(context)] if context.is_valid else []
