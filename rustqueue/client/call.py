"""A call: one request of the vocabulary together with how its answer is read. No I/O, no clock.

The verbs build calls (`calls`), a framing turns a call into bytes and bytes into answers
(`lines`, `http11`), and the two shells (`sync`, `aio`) carry them. Invariant: a call can be sent any number of times.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import Parameter, Signature, signature
from typing import Generic, Literal, NamedTuple, NoReturn, Protocol, TypeVar

import msgspec
from msgspec import Struct

from rustqueue.client.errors import NetworkError, RustQueueError, ServerFault, refusal
from rustqueue.client.results import Problem
from rustqueue.model.requests import Reading

T = TypeVar("T")
S = TypeVar("S", bound=Struct)


def _raise(error: RustQueueError, resent: bool) -> NoReturn:
    raise error


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """`read` decodes the body of a success.

    `key`: the idempotency key given by the caller. `repeat` says what a repeat of a request that may have been carried
    out needs: nothing (`free`), a key, which is made when none was given (`keyed`), or a key that only the caller gives
    (`asked`), since the node keeps a record of each. `refused` may turn a refusal into a result; it is told whether the
    request had been sent before, since then the refusal may be the echo of our own success.
    """

    request: Struct
    read: Callable[[bytes], T]
    key: str | None = None
    repeat: Literal["free", "keyed", "asked"] = "free"
    wait_ms: int = 0
    refused: Callable[[RustQueueError, bool], T] = _raise


Consistency = Literal["linearizable", "local"]
"""What reads see: everything acknowledged to anybody before, or what the asked node has applied."""


def as_fresh(call: Call[T], consistency: Consistency) -> Call[T]:
    """The call, asking for reads of this kind; writes are as they were."""
    if consistency == "linearizable" or not isinstance(call.request, Reading):
        return call
    return replace(call, request=msgspec.structs.replace(call.request, consistency=consistency))


class Answer(NamedTuple):
    """One answer as it came in. `status` is None on TCP."""

    body: bytes
    status: int | None = None
    retry_after_s: float | None = None
    request_id: int | None = None
    last: bool = False
    """The server closes the connection after this answer."""


class _Envelope(Struct, frozen=True):
    ok: bool = False
    error: Problem | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_SUCCESS = b'{"ok":true'
_GATEWAY_STATUSES = (502, 503, 504)


def read_answer(call: Call[T], answer: Answer, resent: bool) -> T:
    """The call's result. Raises `RustQueueError` for a refusal."""
    if not answer.body.startswith(_SUCCESS) or (answer.status or 0) >= 400:
        error = _refusal_in(answer)
        if error is not None:
            return call.refused(error, resent)
    try:
        return call.read(answer.body)
    except msgspec.MsgspecError as error:
        raise ServerFault("BAD_ANSWER", f"The answer is not what was expected: {error}", answer.status) from error


def _refusal_in(answer: Answer) -> RustQueueError | None:
    """None for an answer that only looked like a refusal: a batch with refused items has `ok` false and no error."""
    try:
        envelope = _envelope.decode(answer.body)
    except msgspec.MsgspecError:
        return _foreign(answer)
    if envelope.error is None:
        return None if (answer.status or 0) < 400 else _foreign(answer)
    problem = envelope.error
    error = refusal(problem.code, problem.message, answer.status, problem.details)
    error.retry_after_s = answer.retry_after_s
    return error


def _foreign(answer: Answer) -> RustQueueError:
    """Something between us and the node answered, or this is no node."""
    if answer.status in _GATEWAY_STATUSES:
        return NetworkError(f"A proxy answered with status {answer.status}", sent=True)
    start = answer.body[:100].decode("utf-8", "replace")
    return ServerFault("BAD_ANSWER", f"The answer is not from RustQueue: {start!r}", answer.status)


class Parser(Protocol):
    """Turns the bytes of one connection into answers."""

    def feed(self, data: bytes) -> list[Answer]: ...

    def end(self) -> list[Answer]:
        """The server has closed: an answer that lasts until the end is complete now."""
        ...


class Framing(Protocol):
    """How calls travel: one JSON line each (`lines`) or one HTTP exchange each (`http11`)."""

    multiplexed: bool
    """Answers carry the id of their request, so that many calls share a connection."""

    def greeting(self) -> bytes:
        """What is sent first on a new connection and answered before anything else; may be empty."""
        ...

    def encode(self, request: Struct, key: str | None, request_id: int | None) -> bytes: ...

    def parser(self) -> Parser: ...


def signed_as(build: Callable[..., object]) -> Signature:
    """The signature of a method that takes what `build` takes. Otherwise `help(client.push)` would take the queue for
    the method's own object.
    """
    shape = signature(build)
    own = Parameter("self", Parameter.POSITIONAL_ONLY)
    return shape.replace(parameters=[own, *shape.parameters.values()])


def reader(shape: type[S], take: Callable[[S], T]) -> Callable[[bytes], T]:
    """A `read` that decodes `shape` and takes a part of it."""
    decode = msgspec.json.Decoder(shape).decode
    return lambda body: take(decode(body))


def whole(shape: type[S]) -> Callable[[bytes], S]:
    """A `read` whose result is the whole answer."""
    return msgspec.json.Decoder(shape).decode


def nothing(body: bytes) -> None:
    """A `read` for verbs that only say that they succeeded."""
