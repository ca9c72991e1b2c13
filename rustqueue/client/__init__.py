"""The Python client and the worker runtime. Needs the standard library and msgspec; knows the vocabulary, no server.

from rustqueue.client import Client

with Client("http://127.0.0.1:6790") as client:
    client.push("mail", "welcome", {"to": "ada@example.org"})
"""

from rustqueue.client.aio import AsyncClient
from rustqueue.client.calls.jobs import NewJob
from rustqueue.client.errors import (
    Conflict,
    InvalidRequest,
    NetworkError,
    NotFound,
    RustQueueError,
    ServerFault,
    Unauthorized,
    Unavailable,
)
from rustqueue.client.results import Job
from rustqueue.client.stream.session import StreamEvent
from rustqueue.client.sync import Client
from rustqueue.client.token import TokenFile
from rustqueue.client.work.outbox import WorkerCounts
from rustqueue.client.work.registry import UnknownEngine, WorkerRegistry
from rustqueue.client.work.running import JobCancelled, RunningJob
from rustqueue.client.work.worker import Worker, WorkerOptions
from rustqueue.client.work.workflow import Workflow, WorkflowStep

__all__ = [
    "AsyncClient",
    "Client",
    "Conflict",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "NetworkError",
    "NewJob",
    "NotFound",
    "RunningJob",
    "RustQueueError",
    "ServerFault",
    "StreamEvent",
    "TokenFile",
    "Unauthorized",
    "Unavailable",
    "UnknownEngine",
    "Worker",
    "WorkerCounts",
    "WorkerOptions",
    "WorkerRegistry",
    "Workflow",
    "WorkflowStep",
]
