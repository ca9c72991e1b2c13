"""The asyncio client. Over TCP all calls share one connection and a waiting pull holds nothing up; over HTTP each call
in flight has a connection of its own.

It belongs to the event loop that it is first used in.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from functools import wraps
from types import TracebackType
from typing import Concatenate, Final, Literal, ParamSpec, Self, TypeVar, Unpack

from rustqueue.client.address import Address
from rustqueue.client.call import Answer, Call, Consistency, as_fresh, signed_as
from rustqueue.client.calls import backups, schedules, webhooks
from rustqueue.client.calls import cluster as cluster_calls
from rustqueue.client.calls import insight as insight_calls
from rustqueue.client.calls import jobs as job_calls
from rustqueue.client.calls import queues as queue_calls
from rustqueue.client.calls import tokens as token_calls
from rustqueue.client.errors import NetworkError, RustQueueError
from rustqueue.client.link import Link, open_link
from rustqueue.client.results import Job, Parent
from rustqueue.client.retries import Attempts
from rustqueue.client.stream.follow import follow_async, opening
from rustqueue.client.stream.session import Following, StreamEvent
from rustqueue.client.token import Token, text_of
from rustqueue.client.tracing.carried import Tracing, jobs_in, with_context

T = TypeVar("T")
P = ParamSpec("P")

# A program that starts a thousand calls at once must not open a thousand sockets.
_HTTP_CONNECTIONS_MAX: Final = 64


def _awaited(build: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncClient", P], Awaitable[T]]:
    """The method that builds a call and returns what to await."""

    @wraps(build)
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return self._send(build(*args, **kwargs))

    method.__signature__ = signed_as(build)  # type: ignore[attr-defined]
    return method


class AsyncClient:
    """A client of one node for asyncio; the same methods and arguments as `Client`.

    Do not cancel a waiting pull over TCP: what it was about to get stays leased until its lease ends. Let it run to
    its `wait_ms`, or close the client.
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
        self._links: list[Link] = []
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(_HTTP_CONNECTIONS_MAX)
        self._calls = 0
        self._closed = False
        self.tracing: Tracing | None = None
        """Told of pushes; what it gives travels in the jobs."""

    push = _awaited(job_calls.push)
    push_batch = _awaited(job_calls.push_batch)
    pull = _awaited(job_calls.pull)
    ack = _awaited(job_calls.ack)
    ack_batch = _awaited(job_calls.ack_batch)
    fail = _awaited(job_calls.fail)
    fail_batch = _awaited(job_calls.fail_batch)
    progress = _awaited(job_calls.progress)
    heartbeat = _awaited(job_calls.heartbeat)
    cancel = _awaited(job_calls.cancel)
    get = _awaited(job_calls.get)
    list_jobs = _awaited(job_calls.list_jobs)
    parents = _awaited(job_calls.parents)
    retry = _awaited(job_calls.retry)
    promote = _awaited(job_calls.promote)
    set_priority = _awaited(job_calls.set_priority)
    remove = _awaited(job_calls.remove)
    transaction = _awaited(job_calls.transaction)
    queues = _awaited(queue_calls.queues)
    stats = _awaited(queue_calls.stats)
    get_queue = _awaited(queue_calls.get_queue)
    put_queue = _awaited(queue_calls.put_queue)
    pause = _awaited(queue_calls.pause)
    resume = _awaited(queue_calls.resume)
    drain = _awaited(queue_calls.drain)
    clean = _awaited(queue_calls.clean)
    delete_queue = _awaited(queue_calls.delete_queue)
    dlq = _awaited(queue_calls.dlq)
    retry_dlq = _awaited(queue_calls.retry_dlq)
    purge_dlq = _awaited(queue_calls.purge_dlq)
    flow = _awaited(queue_calls.flow)
    sweep = _awaited(queue_calls.sweep)
    cancel_sweep = _awaited(queue_calls.cancel_sweep)
    create_token = _awaited(token_calls.create_token)
    tokens = _awaited(token_calls.tokens)
    delete_token = _awaited(token_calls.delete_token)
    create_schedule = _awaited(schedules.create_schedule)
    put_schedule = _awaited(schedules.put_schedule)
    get_schedule = _awaited(schedules.get_schedule)
    list_schedules = _awaited(schedules.list_schedules)
    delete_schedule = _awaited(schedules.delete_schedule)
    pause_schedule = _awaited(schedules.pause_schedule)
    resume_schedule = _awaited(schedules.resume_schedule)
    run_schedule = _awaited(schedules.run_schedule)
    schedule_runs = _awaited(schedules.schedule_runs)
    create_webhook = _awaited(webhooks.create_webhook)
    put_webhook = _awaited(webhooks.put_webhook)
    list_webhooks = _awaited(webhooks.list_webhooks)
    get_webhook = _awaited(webhooks.get_webhook)
    delete_webhook = _awaited(webhooks.delete_webhook)
    pause_webhook = _awaited(webhooks.pause_webhook)
    resume_webhook = _awaited(webhooks.resume_webhook)
    test_webhook = _awaited(webhooks.test_webhook)
    webhook_deliveries = _awaited(webhooks.webhook_deliveries)
    resend_webhook = _awaited(webhooks.resend_webhook)
    cluster = _awaited(cluster_calls.cluster)
    add_member = _awaited(cluster_calls.add_member)
    remove_member = _awaited(cluster_calls.remove_member)
    replace_member = _awaited(cluster_calls.replace_member)
    transfer_leadership = _awaited(cluster_calls.transfer_leadership)
    begin_backup = _awaited(backups.begin_backup)
    read_backup = _awaited(backups.read_backup)
    end_backup = _awaited(backups.end_backup)
    health = _awaited(queue_calls.health)
    scale = _awaited(insight_calls.scale)
    why = _awaited(insight_calls.why)
    history = _awaited(insight_calls.history)
    result = _awaited(insight_calls.result)
    dlq_groups = _awaited(insight_calls.dlq_groups)
    workers = _awaited(insight_calls.workers)
    drain_worker = _awaited(insight_calls.drain_worker)

    async def iter_jobs(self, **filters: Unpack[job_calls.JobFilters]) -> AsyncIterator[Job]:
        """All jobs that match, page by page; `limit` is the size of a page."""
        while True:
            page = await self.list_jobs(**filters)
            for job in page.jobs:
                yield job
            if page.next_cursor is None:
                return
            filters["cursor"] = page.next_cursor

    async def iter_parents(self, job_id: str) -> AsyncIterator[Parent]:
        """All jobs that this one depends on, with their results."""
        cursor: str | None = None
        while True:
            page = await self.parents(job_id, limit=1_000, cursor=cursor)
            for parent in page.parents:
                yield parent
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
    ) -> AsyncGenerator[StreamEvent, None]:
        """What happens from now on, or from behind the cursor `after`; nothing named means everything. In
        the name of a queue `*` stands for any characters. Broken connections are made anew and go on where they were; a
        `stream.gap` says that something was missed all the same. It ends when the iteration is closed.
        """
        following = Following(tuple(events), tuple(queues), job_id)
        return follow_async(self._address, self._tls, opening(self._address, text_of(self._token), following), after)

    async def close(self) -> None:
        """Close the connections; calls in flight end with a NetworkError."""
        self._closed = True
        links, self._links = self._links, []
        for link in links:
            link.close()
        await asyncio.gather(*(link.closed for link in links))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        stored = None if self.tracing is None else jobs_in(call)
        if self.tracing is None or stored is None:
            return await self._carry(call)
        with self.tracing.pushing(stored[0], len(stored[1])) as traceparent:
            return await self._carry(with_context(call, traceparent))

    async def _carry(self, call: Call[T]) -> T:
        loop = asyncio.get_running_loop()
        call = as_fresh(call, self._consistency)
        makes_key = call.repeat == "keyed" and call.key is None and self._keys
        key = uuid.uuid4().hex if makes_key else call.key
        attempts = Attempts(call, key, loop.time() + self._timeout_s + call.wait_ms / 1_000)
        self._calls += 1
        exchange = self._share if self._framing.multiplexed else self._take_turns
        request_id = self._calls if self._framing.multiplexed else None
        # The id stays the same over all sendings: a repeat must be the same request in every byte.
        data = self._framing.encode(call.request, key, request_id)
        while True:
            try:
                if self._closed:
                    raise RustQueueError("CLOSED", "The client is closed")
                return await exchange(attempts, data, request_id)
            except RustQueueError as error:
                pause = attempts.pause_after(error, loop.time(), random.random())
            await asyncio.sleep(pause)

    async def _share(self, attempts: Attempts[T], data: bytes, request_id: int | None) -> T:
        link = self._links[0] if self._is_shared() else await self._open_shared(attempts)
        return attempts.read(await link.exchange(data, request_id, attempts.deadline_s))

    def _is_shared(self) -> bool:
        """Whether there is a connection for everybody, opened with the token that is in force now."""
        links = self._links
        return bool(links) and links[0].is_open and links[0].greeting == self._framing.greeting()

    async def _open_shared(self, attempts: Attempts[T]) -> Link:
        async with self._opening:
            if not self._is_shared():
                for link in self._links:
                    link.retire()
                link = await open_link(self._address, self._tls, self._framing, attempts.deadline_s)
                # Those on which somebody still waits end by themselves, or with the client.
                self._links = [link, *(old for old in self._links if old.is_open)]
            return self._links[0]

    async def _take_turns(self, attempts: Attempts[T], data: bytes, request_id: int | None) -> T:
        if attempts.call.wait_ms:
            # Pulls that wait would keep everything else from its turn.
            return attempts.read(await self._alone(attempts, data))
        try:
            async with asyncio.timeout_at(attempts.deadline_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise NetworkError("No free connection in time", sent=False, code="TIMEOUT") from error
        try:
            return attempts.read(await self._alone(attempts, data))
        finally:
            self._places.release()

    async def _alone(self, attempts: Attempts[T], data: bytes) -> Answer:
        """One exchange on a connection of its own."""
        link = self._kept() or await open_link(self._address, self._tls, self._framing, attempts.deadline_s)
        try:
            answer = await link.exchange(data, None, attempts.deadline_s)
        except BaseException:
            # Its answer may still come; a call that was cancelled is told to the server by the closed connection.
            link.close()
            raise
        if answer.last or self._closed:
            link.close()
        else:
            self._links.append(link)
        return answer

    def _kept(self) -> Link | None:
        while self._links:
            link = self._links.pop()
            if link.is_open and link.greeting == self._framing.greeting():
                return link
            link.retire()
        return None
