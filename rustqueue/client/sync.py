"""The blocking client. Safe to use from several threads: each call takes a connection of its own from those kept."""

import random
import select
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial, wraps
from types import TracebackType
from typing import Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack

from rustqueue.client.address import Address
from rustqueue.client.call import Answer, Call, Consistency, Framing, as_fresh, nothing, read_answer, signed_as
from rustqueue.client.calls import backups, schedules, webhooks
from rustqueue.client.calls import cluster as cluster_calls
from rustqueue.client.calls import insight as insight_calls
from rustqueue.client.calls import jobs as job_calls
from rustqueue.client.calls import queues as queue_calls
from rustqueue.client.calls import tokens as token_calls
from rustqueue.client.errors import NetworkError, RustQueueError, no_answer, no_connection
from rustqueue.client.results import Job, Parent
from rustqueue.client.retries import Attempts
from rustqueue.client.stream.follow import follow, opening
from rustqueue.client.stream.session import Following, StreamEvent
from rustqueue.client.token import Token, text_of
from rustqueue.client.tracing.carried import Tracing, jobs_in, with_context
from rustqueue.model.queries import Health

T = TypeVar("T")
P = ParamSpec("P")

_RECEIVE_BYTES = 262_144


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    """The method that builds a call and waits for its result."""

    @wraps(build)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    method.__signature__ = signed_as(build)  # type: ignore[attr-defined]
    return method


class Client:
    """A client of one node: `Client("http://127.0.0.1:6790")` or `Client("tcp://127.0.0.1:6789")`.

    `consistency` `local` lets reads be answered by what the asked node has applied, at once.
    `timeout_s` bounds one call with all its repeats; a pull has its `wait_ms` on top. Pushes and fails carry an
    idempotency key of their own, so that a repeat after a lost answer changes nothing; `idempotency="off"` saves the
    node that record, and the call then ends with a `NetworkError` where a repeat could do harm.
    """

    def __init__(
        self,
        url: str,
        token: Token | None = None,
        *,
        timeout_s: float = 30.0,
        idempotency: Literal["auto", "off"] = "auto",
        consistency: Consistency = "linearizable",
        ca_file: str | None = None,
    ) -> None:
        self._address = Address.parse(url)
        self._tls = self._address.tls_context(ca_file)
        self._framing = self._address.framing(token)
        self._token = token
        self._timeout_s = timeout_s
        self._keys = idempotency == "auto"
        self._consistency = consistency
        self._idle: list[_Connection] = []
        self._closed = threading.Event()
        self.tracing: Tracing | None = None
        """Told of pushes; what it gives travels in the jobs."""

    push = _blocking(job_calls.push)
    push_batch = _blocking(job_calls.push_batch)
    pull = _blocking(job_calls.pull)
    ack = _blocking(job_calls.ack)
    ack_batch = _blocking(job_calls.ack_batch)
    fail = _blocking(job_calls.fail)
    fail_batch = _blocking(job_calls.fail_batch)
    progress = _blocking(job_calls.progress)
    heartbeat = _blocking(job_calls.heartbeat)
    cancel = _blocking(job_calls.cancel)
    get = _blocking(job_calls.get)
    list_jobs = _blocking(job_calls.list_jobs)
    parents = _blocking(job_calls.parents)
    retry = _blocking(job_calls.retry)
    promote = _blocking(job_calls.promote)
    set_priority = _blocking(job_calls.set_priority)
    remove = _blocking(job_calls.remove)
    transaction = _blocking(job_calls.transaction)
    queues = _blocking(queue_calls.queues)
    stats = _blocking(queue_calls.stats)
    get_queue = _blocking(queue_calls.get_queue)
    put_queue = _blocking(queue_calls.put_queue)
    pause = _blocking(queue_calls.pause)
    resume = _blocking(queue_calls.resume)
    drain = _blocking(queue_calls.drain)
    clean = _blocking(queue_calls.clean)
    delete_queue = _blocking(queue_calls.delete_queue)
    dlq = _blocking(queue_calls.dlq)
    retry_dlq = _blocking(queue_calls.retry_dlq)
    purge_dlq = _blocking(queue_calls.purge_dlq)
    flow = _blocking(queue_calls.flow)
    sweep = _blocking(queue_calls.sweep)
    cancel_sweep = _blocking(queue_calls.cancel_sweep)
    create_token = _blocking(token_calls.create_token)
    tokens = _blocking(token_calls.tokens)
    delete_token = _blocking(token_calls.delete_token)
    create_schedule = _blocking(schedules.create_schedule)
    put_schedule = _blocking(schedules.put_schedule)
    get_schedule = _blocking(schedules.get_schedule)
    list_schedules = _blocking(schedules.list_schedules)
    delete_schedule = _blocking(schedules.delete_schedule)
    pause_schedule = _blocking(schedules.pause_schedule)
    resume_schedule = _blocking(schedules.resume_schedule)
    run_schedule = _blocking(schedules.run_schedule)
    schedule_runs = _blocking(schedules.schedule_runs)
    create_webhook = _blocking(webhooks.create_webhook)
    put_webhook = _blocking(webhooks.put_webhook)
    list_webhooks = _blocking(webhooks.list_webhooks)
    get_webhook = _blocking(webhooks.get_webhook)
    delete_webhook = _blocking(webhooks.delete_webhook)
    pause_webhook = _blocking(webhooks.pause_webhook)
    resume_webhook = _blocking(webhooks.resume_webhook)
    test_webhook = _blocking(webhooks.test_webhook)
    webhook_deliveries = _blocking(webhooks.webhook_deliveries)
    resend_webhook = _blocking(webhooks.resend_webhook)
    cluster = _blocking(cluster_calls.cluster)
    add_member = _blocking(cluster_calls.add_member)
    remove_member = _blocking(cluster_calls.remove_member)
    replace_member = _blocking(cluster_calls.replace_member)
    transfer_leadership = _blocking(cluster_calls.transfer_leadership)
    begin_backup = _blocking(backups.begin_backup)
    read_backup = _blocking(backups.read_backup)
    end_backup = _blocking(backups.end_backup)
    health = _blocking(queue_calls.health)
    scale = _blocking(insight_calls.scale)
    why = _blocking(insight_calls.why)
    history = _blocking(insight_calls.history)
    result = _blocking(insight_calls.result)
    dlq_groups = _blocking(insight_calls.dlq_groups)
    workers = _blocking(insight_calls.workers)
    drain_worker = _blocking(insight_calls.drain_worker)

    def iter_jobs(self, **filters: Unpack[job_calls.JobFilters]) -> Iterator[Job]:
        """All jobs that match, page by page; `limit` is the size of a page."""
        while True:
            page = self.list_jobs(**filters)
            yield from page.jobs
            if page.next_cursor is None:
                return
            filters["cursor"] = page.next_cursor

    def iter_parents(self, job_id: str) -> Iterator[Parent]:
        """All jobs that this one depends on, with their results."""
        cursor: str | None = None
        while True:
            page = self.parents(job_id, limit=1_000, cursor=cursor)
            yield from page.parents
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    def subscribe(
        self,
        *,
        events: Iterable[str] = (),
        queues: Iterable[str] = (),
        job_id: str | None = None,
        after: str | None = None,
    ) -> Generator[StreamEvent, None, None]:
        """What happens from now on, or from behind the cursor `after`; nothing named means everything. In
        the name of a queue `*` stands for any characters. Broken connections are made anew and go on where they were; a
        `stream.gap` says that something was missed all the same. It ends when the client is closed.
        """
        following = Following(tuple(events), tuple(queues), job_id)
        connect = partial(_connected, self._address, self._tls)
        return follow(
            self._address, connect, opening(self._address, text_of(self._token), following), after, self._closed
        )

    def close(self) -> None:
        """Close the connections. A call that waits for its next try ends at once."""
        self._closed.set()
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        stored = None if self.tracing is None else jobs_in(call)
        if self.tracing is None or stored is None:
            return self._carry(call)
        with self.tracing.pushing(stored[0], len(stored[1])) as traceparent:
            return self._carry(with_context(call, traceparent))

    def _carry(self, call: Call[T]) -> T:
        call = as_fresh(call, self._consistency)
        makes_key = call.repeat == "keyed" and call.key is None and self._keys
        key = uuid.uuid4().hex if makes_key else call.key
        attempts = Attempts(call, key, time.monotonic() + self._timeout_s + call.wait_ms / 1_000)
        while True:
            try:
                if self._closed.is_set():
                    raise RustQueueError("CLOSED", "The client is closed")
                return attempts.read(self._exchange(attempts))
            except RustQueueError as error:
                pause = attempts.pause_after(error, time.monotonic(), random.random())
            self._closed.wait(pause)

    def _exchange(self, attempts: Attempts[T]) -> Answer:
        data = self._framing.encode(attempts.call.request, attempts.key, None)
        connection = self._kept() or _Connection(self._address, self._tls, self._framing, attempts.deadline_s)
        try:
            answer = connection.exchange(data, attempts.deadline_s)
        except BaseException:
            # Whatever happened, an answer may still be on its way and would be taken for that of the next call.
            connection.close()
            raise
        if answer.last or self._closed.is_set():
            connection.close()
        else:
            self._idle.append(connection)
        return answer

    def _kept(self) -> "_Connection | None":
        """A connection that is still open. Lists pop and append atomically, so threads need no lock here."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.greeting == self._framing.greeting() and connection.is_quiet():
                return connection
            connection.close()
        return None


class _Connection:
    """One socket, one exchange at a time."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, framing: Framing, deadline_s: float) -> None:
        try:
            self._socket = _connected(address, tls, deadline_s)
        except OSError as error:
            raise no_connection(address.host, address.port, error) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = framing.parser()
        self._heard = False
        self.greeting = greeting = framing.greeting()
        """What it was opened with: another token needs another connection."""
        if greeting:
            self._greet(greeting, deadline_s)

    def _greet(self, greeting: bytes, deadline_s: float) -> None:
        try:
            read_answer(Call(Health(), nothing), self.exchange(greeting, deadline_s), False)
        except NetworkError as error:
            self.close()
            error.sent = False  # Only the token was sent, not yet the request.
            raise
        except RustQueueError:
            self.close()
            raise

    def is_quiet(self) -> bool:
        """False once the server has closed or said something unasked: then a request would be lost on it."""
        poll = select.poll()  # `select.select` fails in programs with more than 1,024 open files.
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def exchange(self, data: bytes, deadline_s: float) -> Answer:
        try:
            self._socket.settimeout(_remaining_s(deadline_s))
            self._socket.sendall(data)
            while True:
                self._socket.settimeout(_remaining_s(deadline_s))
                received = self._socket.recv(_RECEIVE_BYTES)
                self._heard = self._heard or bool(received)
                answers = self._parser.feed(received) if received else self._parser.end()
                if answers:
                    return answers[0]
                if not received:
                    raise self._ended("The server closed the connection")
        except TimeoutError as error:
            raise NetworkError("No answer in time", sent=True, code="TIMEOUT") from error
        except OSError as error:
            raise self._ended(f"The connection broke: {error.strerror or error}") from error

    def _ended(self, reason: str) -> NetworkError:
        return no_answer(reason, heard=self._heard, secure=isinstance(self._socket, ssl.SSLSocket))

    def close(self) -> None:
        self._socket.close()


def _connected(address: Address, tls: ssl.SSLContext | None, deadline_s: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=_remaining_s(deadline_s))
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise


def _remaining_s(deadline_s: float) -> float:
    """A socket takes a timeout of zero for `do not block`, which is another kind of error."""
    return max(0.001, deadline_s - time.monotonic())
