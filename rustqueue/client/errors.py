"""What a call can raise.

    RustQueueError              `code`, `message`, `status`, `details`
    ├── InvalidRequest          400, 413, 415, 422  the request itself is wrong; sending it again cannot help
    ├── Unauthorized            401, 403
    ├── NotFound                404
    ├── Conflict                409, 412            state, duplicate key, stale attempt, queue not empty
    ├── Unavailable             429, 503            the node refuses for now (paused, full, overloaded, no leader)
    ├── ServerFault             500 and anything unknown
    └── NetworkError            no answer; `sent` says whether the request may have been carried out

A TCP answer has no status, so the status of a code is looked up here. Knows nothing of sockets.
"""

import ssl
from typing import Any, Final

import msgspec

from rustqueue.model.mistakes.decoding import api_error

_STATUS_BY_CODE: Final = {
    "PARSE_ERROR": 400,
    "VALIDATION_ERROR": 400,
    "UNKNOWN_COMMAND": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "INVALID_STATE": 409,
    "DUPLICATE_KEY": 409,
    "STALE_ATTEMPT": 409,
    "QUEUE_NOT_EMPTY": 409,
    "PRECONDITION_FAILED": 412,
    "TOO_LARGE": 413,
    "IDEMPOTENCY_MISMATCH": 422,
    "RATE_LIMITED": 429,
    "OVERLOADED": 429,
    "QUEUE_PAUSED": 503,
    "DISK_FULL": 503,
    "AUTH_UNAVAILABLE": 503,
    "NO_LEADER": 503,
    "OUTCOME_UNKNOWN": 503,
    "SHUTTING_DOWN": 503,
    "WEBHOOKS_DISABLED": 503,
}

# These pass without anybody doing something. A paused queue and a full disk wait for a person: the caller is told at
# once, since thirty seconds of silence would only hide the reason.
_PASSING: Final = frozenset(
    {"AUTH_UNAVAILABLE", "OVERLOADED", "RATE_LIMITED", "NO_LEADER", "OUTCOME_UNKNOWN", "SHUTTING_DOWN"}
)


class RustQueueError(Exception):
    """A call that did not succeed. `code` is stable, the text may change."""

    def __init__(
        self, code: str, message: str, status: int | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = details
        self.retry_after_s: float | None = None

    @property
    def passing(self) -> bool:
        """True if the same call may succeed a little later without anybody's help."""
        return self.code in _PASSING


class InvalidRequest(RustQueueError):
    """The request is wrong; `details` names the field and the limit."""


class Unauthorized(RustQueueError):
    """The token is missing, unknown or not allowed to do this."""


class NotFound(RustQueueError):
    """No such job, queue, sweep or route."""


class Conflict(RustQueueError):
    """The present state forbids it; `details` has the state or the key."""


class Unavailable(RustQueueError):
    """The node refuses for now."""


class ServerFault(RustQueueError):
    """The node failed; its log has the detail."""


_WRONG_PORT: Final = "WRONG_PORT"


class NetworkError(RustQueueError):
    """No answer came. If `sent` is true, the request may have been carried out."""

    def __init__(self, message: str, *, sent: bool, code: str = "NETWORK_ERROR") -> None:
        super().__init__(code, message)
        self.sent = sent

    @property
    def passing(self) -> bool:
        return self.code != _WRONG_PORT


_PLAIN_REASONS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""How OpenSSL, by its version, calls an answer that is no TLS."""


def no_connection(host: str, port: int, error: OSError) -> RustQueueError:
    """The error for a connection that did not come about. A certificate that cannot be trusted stays so, and
    so does a port that answers without TLS.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{host}:{port} shows a certificate that is not trusted: {error.verify_message}"
        return RustQueueError("TLS_ERROR", text)
    if isinstance(error, ssl.SSLError) and error.reason in _PLAIN_REASONS:
        return RustQueueError(
            "TLS_ERROR", f"{host}:{port} does not speak TLS: the address begins with http:// or tcp://"
        )
    return NetworkError(f"Cannot connect to {host}:{port}: {error.strerror or error}", sent=False)


def no_answer(reason: str, *, heard: bool, secure: bool) -> NetworkError:
    """The error for a connection that ended before the answer. A port that speaks TLS closes in silence when it is
    spoken to without, and nothing but the silence tells that.
    """
    hint = "" if heard or secure else ", without a word: if it speaks TLS, the address begins with https:// or tcps://"
    return NetworkError(reason + hint, sent=True)


def http_port() -> NetworkError:
    """The error for an answer in HTTP where lines are spoken. No port takes a request of the other kind for its own."""
    return NetworkError("The answer is HTTP: is this the HTTP port? Say http://", sent=False, code=_WRONG_PORT)


def tcp_port() -> NetworkError:
    """The error for a line where HTTP is spoken."""
    text = "The answer is not HTTP but a line: is this the TCP port? Say tcp://"
    return NetworkError(text, sent=False, code=_WRONG_PORT)


def misfit(error: Exception, kind: type[msgspec.Struct] | None = None) -> RustQueueError:
    """What was given does not make a request; `kind` is what it was to be. Said in the words of the server."""
    if not isinstance(error, msgspec.ValidationError):
        return InvalidRequest("VALIDATION_ERROR", str(error), 400)
    found = api_error(error, kind)
    return refusal(found.code, found.message, found.status, found.details)


_KIND_BY_STATUS: Final[dict[int, type[RustQueueError]]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    412: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}


def refusal(code: str, message: str, status: int | None, details: dict[str, Any] | None = None) -> RustQueueError:
    """The error for a refusal. Without a status (TCP) the code tells it."""
    known = status if status is not None else _STATUS_BY_CODE.get(code)
    if known is None:
        known = 404 if code.endswith("NOT_FOUND") else 500
    return _KIND_BY_STATUS.get(known, ServerFault)(code, message, known, details)
