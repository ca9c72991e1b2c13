"""Spans of requests by OpenTelemetry, sent to a collector by OTLP over HTTP. The node's only module that knows either.

It must not know how requests travel or what they do. Invariants: an attribute is a name or a code, never a payload, a
result, a token or an error's text; what cannot be sent is dropped, and nothing waits for a collector but the end of the
node, for a bounded time.
"""

import asyncio
from functools import partial
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import rustqueue
from rustqueue.gateway.ports import Done
from rustqueue.model.commands import PushJobs
from rustqueue.model.replies import Pulled, PulledOne, Refused, Reply, status_of
from rustqueue.model.wire import Request
from rustqueue.settings import TracingSettings

_LINKS_MAX: Final = 16
_SEND_S: Final = 5
_CLOSE_S: Final = 2.0
_FAULT_STATUS: Final = 500
_VALUES: Final = ("queue", "name", "id")
"""Fields of requests that a span names, where a request has them as plain text."""
_HEADER: Final = "traceparent"
_contexts: Final = TraceContextTextMapPropagator()
_NOWHERE: Final = Context()


class RequestSpans:
    """`around` is given to the shells; `close` sends what is left."""

    def __init__(self, settings: TracingSettings, node_id: str) -> None:
        about = {"service.name": settings.service_name, "service.version": rustqueue.__version__}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_percent / 100)),
            resource=Resource.create(about | {"service.instance.id": node_id}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=_SEND_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=settings.send_every_ms))
        self._tracer = self._provider.get_tracer("rustqueue", rustqueue.__version__)

    def around(self, protocol: str, request: Request, parent: str | None, done: Done) -> Done:
        """`done`, but ending a span that begins now: below the header of the request, else below a single job's."""
        carried = _carried_by(request)
        if parent is None and len(carried) == 1:
            parent, carried = carried[0], []
        context = _NOWHERE if parent is None else _contexts.extract({_HEADER: parent}, _NOWHERE)
        verb = "push" if isinstance(request, PushJobs) else str(request.__struct_config__.tag)
        attributes: dict[str, str | int] = {"rustqueue.verb": verb, "network.protocol.name": protocol}
        for name in _VALUES:
            value = getattr(request, name, None)
            if isinstance(value, str):
                attributes[f"rustqueue.{name}"] = value
        if isinstance(request, PushJobs):
            attributes["messaging.batch.message_count"] = len(request.jobs)
        links = [link for text in carried if text != parent and (link := _link_to(text)) is not None]
        span = self._tracer.start_span(verb, context=context, kind=SpanKind.SERVER, attributes=attributes, links=links)
        return partial(_ended, span, done) if span.is_recording() else done

    async def close(self) -> None:
        closing = asyncio.get_running_loop().run_in_executor(None, self._provider.shutdown)
        await asyncio.wait({closing}, timeout=_CLOSE_S)


def _ended(span: Span, done: Done, reply: Reply) -> None:
    if isinstance(reply, Refused):
        span.set_attribute("rustqueue.outcome", reply.error.code)
        if status_of(reply) >= _FAULT_STATUS:
            span.set_status(Status(StatusCode.ERROR, reply.error.code))
    else:
        span.set_attribute("rustqueue.outcome", "ok")
    if isinstance(reply, Pulled | PulledOne):
        jobs = reply.jobs if isinstance(reply, Pulled) else [reply.job] if reply.job is not None else []
        span.set_attribute("messaging.batch.message_count", len(jobs))
        for job in [job for job in jobs if job.traceparent][:_LINKS_MAX]:
            link = _link_to(job.traceparent or "")
            if link is not None:
                span.add_link(link.context)
    span.end()
    done(reply)


def _carried_by(request: Request) -> list[str]:
    """Contexts of the jobs that a push stores, each once."""
    if not isinstance(request, PushJobs):
        return []
    options = (job.options for job in request.jobs)
    found = dict.fromkeys(one.traceparent for one in options if one is not None and one.traceparent)
    return list(found)[:_LINKS_MAX]


def _link_to(traceparent: str) -> Link | None:
    found = trace.get_current_span(_contexts.extract({_HEADER: traceparent}, _NOWHERE)).get_span_context()
    return Link(found) if found.is_valid else None
