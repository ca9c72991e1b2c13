"""One client's conversation: lines in, answers out, in order where order was promised.

It must not know what a verb means beyond what the protocol itself needs: `auth`, queries that must see what came before
them, and pulls that may wait. Invariants:
- answers to lines without `request_id` come in the order of their lines; a query without one is asked only when all
  that came before it is answered, so that it sees it;
- no more than `limits.PIPELINE_MAX` requests are on their way, and no more is read while a client does not read;
- a line that was begun is completed within its deadline, or the connection is closed;
- one write a loop turn carries all answers that are ready, but the last one of a client that has nothing else on its
  way leaves at once; a turn makes no more of them than fit a write buffer.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, cast, get_args

from rustqueue.auth import NOBODY, Authenticator, Undecided
from rustqueue.gateway import Gateway, Ticket
from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.places import placed
from rustqueue.gateway.ports import Around
from rustqueue.model import limits
from rustqueue.model.commands import Pull
from rustqueue.model.errors import ApiError, Unauthorized
from rustqueue.model.queries import Auth, Get, Health, Query
from rustqueue.model.replies import Done, Pulled, PulledOne, Refused, Reply
from rustqueue.model.schedules import ScheduleGet
from rustqueue.model.wire import decode_request
from rustqueue.tcp.frames import Frame, FrameBroken, encode_frame, error_frame
from rustqueue.tcp.messages import MessageBuffer
from rustqueue.tcp.options import TcpOptions
from rustqueue.tcp.protocol import AnswerOrder, Slot, encode_answer, plainly_not_found, request_id_of

log = logging.getLogger(__name__)

_READS: Final = frozenset({*get_args(Query), Health})
_RENAMED: Final = frozenset[type]((Get, ScheduleGet))
_WRITE_BUFFER_BYTES: Final = 262_144  # Above it the client is taken not to read; a reply of 50 jobs is 40 KB.
_TURN_ANSWERS: Final = 256  # Queries are answered at once: a client that sends thousands must not hold up the others.


class InternalError(ApiError):
    """A defect of ours. The text says nothing, the log has the rest."""

    def __init__(self) -> None:
        super().__init__("INTERNAL_ERROR", "Internal error; the log of the node has the details")


class _Raw(bytes):
    """An answer that is no line."""


class Shell(Protocol):
    """What all connections have together, as far as one of them needs it."""

    gateway: Gateway
    authenticator: Authenticator
    options: TcpOptions
    line_deadlines: "Deadlines[Connection]"
    unread_deadlines: "Deadlines[Connection]"
    token_deadlines: "Deadlines[Connection]"
    around: Around | None

    def opened(self, connection: "Connection", transport: asyncio.BaseTransport) -> ApiError | None:
        """Why the connection cannot stay, or None."""
        ...

    def lost(self, connection: "Connection") -> None: ...

    def has_answers(self, connection: "Connection") -> None:
        """The connection has something to write at the end of this loop turn."""
        ...


class Connection(asyncio.Protocol):
    """Made by the shell for every client."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.transport: asyncio.Transport | None = None
        self._peer = ""
        self._principal = shell.authenticator.newcomer
        self._bad_tokens = 0
        self._messages = MessageBuffer(limits.LINE_BYTES_MAX)
        self._backlog: deque[bytes | Frame] = deque()
        self._order = AnswerOrder()
        self._waits: dict[int, tuple[Ticket | None, Pull, Callable[[Reply], None]]] = {}
        self._waits_made = 0
        self._in_flight = 0
        self._has_frames = False
        self._answers: list[bytes] = []
        self._answers_bytes = 0
        self._pumping = False
        self._reading = True
        self._unread_bytes = 0
        self._unread = False  # The client leaves a full buffer unread.
        self._deciding = False  # Somebody has to be asked about a token before anything else happens here.
        self._closing = False  # No more is read; what was read is answered, then the connection is closed.

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Both event loops set TCP_NODELAY on every connection.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        refusal = self._shell.opened(self, transport)
        if refusal is not None:
            self._say_last(refusal)
        elif self._principal is NOBODY:
            self._shell.token_deadlines.put(self, self._shell.options.token_deadline_ms)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        had_partial = self._messages.partial_bytes > 0
        try:
            messages = self._messages.feed(data)
        except FrameBroken as error:
            self._end_with(error_frame(error.message))
            return
        except ApiError as error:
            self._say_last(error)
            return
        if messages:
            self._backlog.extend(messages)
            self._pump()
        if had_partial or self._messages.partial_bytes:
            self._watch_line(had_partial and not messages)

    def eof_received(self) -> bool:
        """The client sends no more. It gets its answers, but nobody waits for jobs for it: it may be gone."""
        for ticket, pull, finish in list(self._waits.values()):
            if ticket is not None:
                ticket.cancel()
                finish(PulledOne(job=None) if pull.count == 1 else Pulled(jobs=[]))
        self._closing = True
        self._close_when_done()
        # TLS knows no half-closed connections.
        return self.transport is not None and self.transport.can_write_eof()

    def pause_writing(self) -> None:
        self._unread = True
        if self.transport is not None and self not in self._shell.unread_deadlines:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._shell.unread_deadlines.put(self, limits.UNREAD_MS_MAX)

    def resume_writing(self) -> None:
        self._unread = False
        self._shell.unread_deadlines.drop(self)
        self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._closing = True
        self._backlog.clear()
        for ticket, _, _ in self._waits.values():
            if ticket is not None:
                ticket.cancel()
        self._waits.clear()
        self._shell.lost(self)

    # What the shell says.

    def finish(self) -> None:
        """Read no more, answer what was read, close."""
        self._closing = True
        self._close_when_done()

    def abort(self) -> None:
        """Cut the connection now."""
        if self.transport is not None:
            self.transport.abort()

    def line_is_late(self) -> None:
        """A line was begun and not completed in time."""
        if not self._reading:
            self._watch_line(False)  # It was we who did not read.
        else:
            self._say_last(ApiError("REQUEST_TIMEOUT", "The line was not completed in time", {"field": "line"}))

    def token_is_late(self) -> None:
        """A server that wants tokens keeps no connections open for those who have none."""
        text = f"No good token was shown within {self._shell.options.token_deadline_ms} ms"
        self._say_last(
            ApiError("REQUEST_TIMEOUT", text, {"field": "token", "limit": self._shell.options.token_deadline_ms})
        )

    def unread_for_long(self) -> None:
        """The client has left a full buffer unread. A slow one may go on, one that takes nothing is cut off."""
        if self.transport is None:
            return
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes < self._unread_bytes:
            self._unread_bytes = left_bytes
            self._shell.unread_deadlines.put(self, limits.UNREAD_MS_MAX)
        else:
            self.transport.abort()

    def write_answers(self) -> None:
        """Give the answers of this loop turn to the transport."""
        answers, self._answers, self._answers_bytes = self._answers, [], 0
        transport = self.transport
        if transport is None:
            return
        if self._has_frames:
            transport.write(b"".join(answer if type(answer) is _Raw else answer + b"\n" for answer in answers))
        else:
            answers.append(b"")
            transport.write(b"\n".join(answers))
        if transport.get_write_buffer_size() > limits.UNSENT_BYTES_MAX:
            transport.abort()
        elif self._backlog:
            self._pump()
        elif self._closing:
            self._close_when_done()

    # Lines.

    def _pump(self) -> None:
        """Take lines until one has to wait."""
        if self._pumping:
            return
        self._pumping = True
        backlog = self._backlog
        while backlog and self._has_room():
            message = backlog.popleft()
            if type(message) is not bytes:
                self._take_frame(cast("Frame", message))
            elif not self._take(message):
                backlog.appendleft(message)
                break
        self._pumping = False
        self._read_on(not backlog and not self._unread)

    def _has_room(self) -> bool:
        return (
            self._in_flight < limits.PIPELINE_MAX
            and len(self._answers) < _TURN_ANSWERS
            and self._answers_bytes < _WRITE_BUFFER_BYTES
            and not self._unread
            and not self._deciding
        )

    def _take_frame(self, frame: Frame) -> None:
        """Ask what a frame says. Frames are answered in order, as lines without `request_id`."""
        self._has_frames = True
        self._in_flight += 1
        behind_own = len(self._order) > 0
        done = partial(self._answer_frame, self._order.open(), frame.channel)
        if isinstance(frame.line, ApiError):
            done(Refused.of(frame.line))
            return
        if self._principal is NOBODY:
            # As the original: who sends frames before a token does not know this server.
            self._hang_up()
        try:
            request = decode_request(frame.line)
            around = self._shell.around
            told = done if around is None else around("tcp", request, None, done)
            self._shell.gateway.submit(request, frame.line, told, self._principal, behind_own)
        except ApiError as error:
            done(Refused.of(placed(error)))
        except Exception:
            log.exception("request failed", extra={"verb": "frame", "peer": self._peer})
            done(Refused.of(InternalError()))

    def _take(self, line: bytes) -> bool:
        """Ask one line; False when it has to wait for the answers to lines before it."""
        try:
            request = decode_request(line)
        except ApiError as error:
            done = self._done_for(request_id_of(line))
            done(Refused.of(placed(error)))
            return True
        # Only what has no `request_id` has an order; a query in it must see what came before.
        behind_own = request.request_id is None and len(self._order) > 0
        if behind_own and type(request) in _READS:
            return False
        done = self._done_for(request.request_id)
        around = self._shell.around
        if around is not None:
            done = around("tcp", request, None, done)
        try:
            if isinstance(request, Auth):
                self._authenticate(request, done)
            elif isinstance(request, Pull) and request.wait_ms:
                self._ask_waiting(request, line, done, behind_own)
            else:
                if type(request) in _RENAMED:
                    done = partial(_renamed, done)
                self._shell.gateway.submit(request, line, done, self._principal, behind_own)
        except Exception:
            # A defect costs its client an answer, not everybody the node. The line may hold secrets: only its verb.
            log.exception("request failed", extra={"verb": type(request).__name__, "peer": self._peer})
            done(Refused.of(InternalError()))
        return True

    def _done_for(self, request_id: str | int | None) -> Callable[[Reply], None]:
        self._in_flight += 1
        if request_id is None:
            return partial(self._answer_in_order, self._order.open())
        return partial(self._answer_at_once, request_id)

    def _ask_waiting(self, pull: Pull, line: bytes, done: Callable[[Reply], None], behind_own: bool) -> None:
        key = self._waits_made = self._waits_made + 1
        finish = partial(self._wait_ended, key, done)
        self._waits[key] = (None, pull, finish)
        ticket = self._shell.gateway.submit(pull, line, finish, self._principal, behind_own)
        if key in self._waits:
            self._waits[key] = (ticket, pull, finish)

    def _wait_ended(self, key: int, done: Callable[[Reply], None], reply: Reply) -> None:
        if self._waits.pop(key, None) is not None:
            done(reply)

    def _authenticate(self, request: Auth, done: Callable[[Reply], None]) -> None:
        try:
            self._principal = self._shell.authenticator.check(request.token, self._peer)
        except Undecided as undecided:
            # What comes behind it is asked by whoever it shows us.
            self._deciding = True
            undecided.when_decided(partial(self._decided, request, done))
        except ApiError as error:
            self._bad_tokens += isinstance(error, Unauthorized)
            if self._bad_tokens >= limits.AUTH_TRIES_MAX:
                self._hang_up()
            done(Refused.of(error))
        else:
            self._shell.token_deadlines.drop(self)
            done(Done())

    def _hang_up(self) -> None:
        """What is on its way is answered, nothing more is taken."""
        self._closing = True
        self._backlog.clear()

    def _decided(self, request: Auth, done: Callable[[Reply], None]) -> None:
        self._deciding = False
        if self.transport is not None:
            self._authenticate(request, done)
            self._pump()

    def _watch_line(self, same_line: bool) -> None:
        """The deadline of a line counts from its first byte."""
        if same_line:
            return
        deadlines = self._shell.line_deadlines
        deadlines.drop(self)
        if self._messages.partial_bytes:
            deadlines.put(self, self._shell.options.line_deadline_ms)

    def _read_on(self, wanted: bool) -> None:
        if wanted is self._reading or self._closing or self.transport is None:
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # Answers.

    def _answer_in_order(self, slot: Slot, reply: Reply) -> None:
        self._send(self._order.fill(slot, _encoded(reply, None)))

    def _answer_frame(self, slot: Slot, channel: int | None, reply: Reply) -> None:
        try:
            answer = encode_frame(reply, channel)
        except Exception:
            log.exception("reply cannot be encoded", extra={"reply": type(reply).__name__})
            answer = encode_frame(Refused.of(InternalError()), channel)
        self._send(self._order.fill(slot, _Raw(answer)))

    def _answer_at_once(self, request_id: str | int, reply: Reply) -> None:
        self._send([_encoded(reply, request_id)])

    def _send(self, answers: list[bytes]) -> None:
        self._in_flight -= len(answers)
        if not answers or self.transport is None:
            return
        # What is answered last has no company to wait for: nothing else of this client is on its way.
        is_alone = not (self._answers or self._in_flight or self._backlog)
        if not self._answers and not is_alone:
            self._shell.has_answers(self)
        self._answers += answers
        self._answers_bytes += sum(map(len, answers))
        if is_alone:
            self.write_answers()
        elif self._backlog:
            self._pump()

    def _say_last(self, error: ApiError) -> None:
        self._end_with(encode_answer(Refused.of(error), None) + b"\n")

    def _end_with(self, last: bytes) -> None:
        """Say one more thing, whatever else is on its way, and close."""
        self._closing = True
        self._backlog.clear()
        if self.transport is not None:
            if self._answers:
                self.write_answers()
            self.transport.write(last)
            self._close()

    def _close_when_done(self) -> None:
        if self.transport is not None and not (self._in_flight or self._backlog or self._answers):
            self._close()

    def _close(self) -> None:
        """Close when all is written, or when the client has left it unread for too long."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.close()
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes and self not in self._shell.unread_deadlines:
            self._unread_bytes = left_bytes
            self._shell.unread_deadlines.put(self, limits.UNREAD_MS_MAX)


def _renamed(done: Callable[[Reply], None], reply: Reply) -> None:
    done(plainly_not_found(reply))


def _encoded(reply: Reply, request_id: str | int | None) -> bytes:
    """An answer that cannot be encoded is a defect of ours, and no reason to stop the log that brought it."""
    try:
        return encode_answer(reply, request_id)
    except Exception:
        log.exception("reply cannot be encoded", extra={"reply": type(reply).__name__})
        return encode_answer(Refused.of(InternalError()), request_id)
