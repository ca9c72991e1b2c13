"""A collector: takes OTLP over HTTP as a real one does, decodes it, and tells what came."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

DEADLINE_S = 60.0


class Told(NamedTuple):
    """One span. Ids are in hexadecimal; `links` are span ids."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str | int]
    links: list[str]
    failed: bool


class Collector:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._spans: list[Told] = []
        self._changed = threading.Condition()
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.bodies.append(body)
            for group in request.resource_spans:
                about = {one.key: one.value.string_value for one in group.resource.attributes}
                for scope in group.scope_spans:
                    self._spans += [_told(about["service.name"], span) for span in scope.spans]
            self._changed.notify_all()

    def one(self, name: str, **attributes: str) -> Told:
        """The span of that name and these attributes of ours, once it has come."""
        wanted = {f"rustqueue.{key}": value for key, value in attributes.items()}

        def find() -> Told | None:
            return next(
                (span for span in self._spans if span.name == name and wanted.items() <= span.attributes.items()), None
            )

        with self._changed:
            self._changed.wait_for(lambda: find() is not None, DEADLINE_S)
            found = find()
        assert found is not None, (name, wanted, [span.name for span in self._spans])
        return found

    def has(self, name: str) -> bool:
        return any(span.name == name for span in self._spans)


def _told(service: str, span: object) -> Told:
    given = span.attributes  # type: ignore[attr-defined] # The generated classes publish no types.
    attributes = {
        one.key: one.value.string_value if one.value.HasField("string_value") else one.value.int_value for one in given
    }
    return Told(
        service,
        span.name,  # type: ignore[attr-defined]
        span.trace_id.hex(),  # type: ignore[attr-defined]
        span.span_id.hex(),  # type: ignore[attr-defined]
        span.parent_span_id.hex(),  # type: ignore[attr-defined]
        attributes,
        [link.span_id.hex() for link in span.links],  # type: ignore[attr-defined]
        span.status.code == 2,  # type: ignore[attr-defined]
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of the loopback."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            collector.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
