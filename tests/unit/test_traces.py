"""Traces over a queue, as a collector gets them: from the push through the node to the handler."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from rustqueue.client import AsyncClient, Client, NotFound, RunningJob, Worker
from rustqueue.client.tracing.telemetry import OpenTelemetry
from rustqueue.settings import TracingSettings
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings
from tests.unit.otlp_receiver import Collector, collecting
from tests.unit.worker_at_work import completed

CANARY = "payload-that-no-span-may-show"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Ports]:
    settings = node_settings(tmp_path_factory.mktemp("node"))
    tracing = TracingSettings(endpoint=collector.url, service_name="the-queue", send_every_ms=100)
    with node_in_thread(msgspec.structs.replace(settings, tracing=tracing)) as ports:
        yield ports


@pytest.fixture(scope="module")
def program(collector: Collector) -> Iterator[OpenTelemetry]:
    """The tracing of somebody's program."""
    provider = TracerProvider(resource=Resource({"service.name": "the-shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")))
    yield OpenTelemetry(provider)
    provider.shutdown()


@pytest.mark.parametrize("scheme", ["http", "tcp"])
async def test_a_trace_leads_from_the_push_over_the_node_to_the_handler(
    node: Ports, collector: Collector, program: OpenTelemetry, scheme: str
) -> None:
    queue = f"mail-{scheme}"
    worker = Worker(node.url(scheme), [queue], wait_ms=200, tracing=program)

    @worker.handler("welcome")
    async def welcome(job: RunningJob) -> str:
        return CANARY

    async with AsyncClient(node.url(scheme)) as client:
        client.tracing = program
        job_id = await client.push(queue, "welcome", {"secret": CANARY})
        await completed(worker, client, [job_id])
        record = await client.get(job_id)

    send, process = collector.one(f"send {queue}"), collector.one(f"process {queue}")
    assert record is not None
    assert (record.traceparent or "").split("-")[1:3] == [send.trace_id, send.span_id]
    assert (process.links, process.parent_id) == ([send.span_id], "")
    assert process.attributes["messaging.message.id"] == job_id
    push = collector.one("push", queue=queue)
    assert (push.service, push.trace_id, push.parent_id) == ("the-queue", send.trace_id, send.span_id)
    assert push.attributes == {
        "rustqueue.verb": "push",
        "network.protocol.name": scheme,
        "rustqueue.queue": queue,
        "messaging.batch.message_count": 1,
        "rustqueue.outcome": "ok",
    }
    assert collector.one("get", id=job_id).links == []
    assert not any(CANARY.encode() in body for body in collector.bodies)


def test_a_pull_is_linked_to_those_who_pushed(node: Ports, collector: Collector, program: OpenTelemetry) -> None:
    with Client(node.url("tcp")) as client:
        client.tracing = program
        jobs: list[Any] = [{"name": "n"}, {"name": "n", "traceparent": PARENT}, {"name": "n", "traceparent": "none"}]
        client.push_batch("linked", jobs)
        assert [job.traceparent == PARENT for job in client.pull("linked", 10)] == [False, True, False]
        with pytest.raises(NotFound):
            client.ack("018f0000-0000-7000-8000-000000000000")
    send = collector.one("send linked")
    assert send.attributes["messaging.batch.message_count"] == 3
    assert collector.one("pull", queue="linked").links == [send.span_id, PARENT.split("-")[2]]
    ack = collector.one("ack")
    assert (ack.attributes["rustqueue.outcome"], ack.failed) == ("JOB_NOT_FOUND", False)


def test_a_request_says_by_its_header_where_it_belongs(node: Ports, collector: Collector) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=30)
    for verb, parent in (("why", PARENT), ("history", UNSAMPLED), ("result", PARENT)):
        connection.request(
            "GET", f"/api/v1/jobs/018f0000-0000-7000-8000-000000000000/{verb}", headers={"traceparent": parent}
        )
        assert connection.getresponse().read()
    connection.close()
    why = collector.one("job_why")
    assert f"00-{why.trace_id}-{why.parent_id}-01" == PARENT
    assert collector.one("job_result").trace_id == why.trace_id
    assert not collector.has("job_history")


def test_without_the_library_a_node_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['opentelemetry'] = None\nfrom rustqueue.__main__ import main; sys.exit(main())"
    words = ["serve", "--data", str(tmp_path), "--http-port", "0", "--tcp-port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--tracing-endpoint", "http://127.0.0.1:9"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "pip install 'rustqueue[tracing]'" in done.stdout + done.stderr
