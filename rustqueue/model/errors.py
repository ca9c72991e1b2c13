"""The error tree. Every refusal a client can see is one of these.

    ApiError
    ├── ParseError            400  not JSON, not UTF-8
    ├── ValidationFailed      400  unknown key, value out of range (422 for a missing field or a wrong type)
    ├── TooLarge              413
    ├── Unauthorized          401  no token, or not a good one
    ├── Forbidden             403  the token may not do that there
    ├── NotFound              404  route, job, queue, sweep
    ├── Conflict              409  state, duplicate key, stale attempt, queue not empty
    ├── PreconditionFailed    412  the record has another revision or owner than the request says
    ├── Unavailable           503  paused, full disk, no leader, unknown outcome, shutting down
    └── Limited               429  overload, limits

`code` is stable and part of the contract (A3, decisions A8 and D); the text may change.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class ApiError(Exception):
    """A refusal: stable `code`, HTTP status, text, and details that name field, limit or index."""

    http_status: ClassVar[int] = 500
    retry_after_s: int | None = None

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def status(self) -> int:
        return self.http_status


class ParseError(ApiError):
    http_status = 400

    def __init__(self, message: str) -> None:
        super().__init__("PARSE_ERROR", message)


class ValidationFailed(ApiError):
    """A field is wrong. `shape` marks a missing field or wrong type: 422 instead of 400 (decisions A8)."""

    http_status = 400

    def __init__(self, reason: str, field: str | None = None, *, shape: bool = False, **details: Any) -> None:
        named = {**({"field": field} if field is not None else {}), **details}
        super().__init__("VALIDATION_ERROR", f"Validation error: {reason}", named or None)
        self.shape = shape

    @property
    def status(self) -> int:
        return 422 if self.shape else 400

    @classmethod
    def none_of(cls, field: str, words: Sequence[str]) -> "ValidationFailed":
        """Another word where only these are good."""
        return cls(f"'{field}' must be one of {', '.join(words)}", field, allowed=list(words))


class UnknownCommand(ApiError):
    http_status = 400

    def __init__(self, name: str) -> None:
        super().__init__("UNKNOWN_COMMAND", f"Unknown command: {name}", {"field": "cmd"})


class TooLarge(ApiError):
    http_status = 413

    def __init__(self, what: str, limit: int) -> None:
        super().__init__("TOO_LARGE", f"{what} is larger than {limit} bytes", {"field": what, "limit": limit})


class Unauthorized(ApiError):
    """No token or not a good one."""

    http_status = 401

    def __init__(self, message: str) -> None:
        super().__init__("UNAUTHORIZED", message)


class Forbidden(ApiError):
    """The one who asks is known, but may not do this, or not there."""

    http_status = 403

    def __init__(self, verb: str, queue: str | None) -> None:
        where = "all queues" if queue is None else f"queue '{queue}'"
        super().__init__("FORBIDDEN", f"This token has no '{verb}' scope on {where}", {"verb": verb, "queue": queue})


class NotFound(ApiError):
    http_status = 404

    @classmethod
    def job(cls, reference: str) -> "NotFound":
        return cls("JOB_NOT_FOUND", f"Job '{reference}' not found")

    @classmethod
    def queue(cls, name: str) -> "NotFound":
        return cls("QUEUE_NOT_FOUND", f"Queue '{name}' not found")

    @classmethod
    def token(cls, reference: str) -> "NotFound":
        return cls("TOKEN_NOT_FOUND", f"Token '{reference}' not found")

    @classmethod
    def webhook(cls, reference: str) -> "NotFound":
        return cls("WEBHOOK_NOT_FOUND", f"Webhook '{reference}' not found")

    @classmethod
    def delivery(cls, reference: str) -> "NotFound":
        return cls("DELIVERY_NOT_FOUND", f"Delivery '{reference}' is not among those that were given up")

    @classmethod
    def sweep(cls, reference: str) -> "NotFound":
        return cls("SWEEP_NOT_FOUND", f"Sweep '{reference}' not found")

    @classmethod
    def schedule(cls, name: str) -> "NotFound":
        return cls("SCHEDULE_NOT_FOUND", f"Schedule not found: {name}")


class Conflict(ApiError):
    http_status = 409

    @classmethod
    def state(cls, current: str, expected: str) -> "Conflict":
        text = f"Job is in invalid state '{current.capitalize()}' for operation (expected: {expected})"
        return cls("INVALID_STATE", text, {"state": current})

    @classmethod
    def duplicate(cls, key: str, field: str = "unique_key") -> "Conflict":
        noun = "unique key" if field == "unique_key" else "custom id"
        return cls("DUPLICATE_KEY", f"Duplicate {noun} '{key}'", {"field": field})

    @classmethod
    def removed(cls, job_id: str) -> "Conflict":
        text = f"Job '{job_id}', which was created under this idempotency key, has been removed"
        return cls("DUPLICATE_KEY", text, {"field": "idempotency_key"})

    @classmethod
    def token_name(cls, name: str) -> "Conflict":
        return cls("DUPLICATE_KEY", f"There is a token named '{name}' already", {"field": "name"})

    @classmethod
    def webhook(cls, name: str) -> "Conflict":
        return cls("DUPLICATE_KEY", f"There is a webhook named '{name}' already", {"field": "name"})

    @classmethod
    def stale(cls, reference: str) -> "Conflict":
        return cls(
            "STALE_ATTEMPT",
            f"Job '{reference}' is no longer leased under this attempt token",
            {"field": "attempt_token"},
        )


class PreconditionFailed(ApiError):
    """`details` name the field and what the record has instead."""

    http_status = 412

    @classmethod
    def revision(cls, wanted: int, present: int) -> "PreconditionFailed":
        text = f"The record has revision {present}, not {wanted}" if present else "There is no such record yet"
        return cls("PRECONDITION_FAILED", text, {"field": "if_match", "revision": present})

    @classmethod
    def owner(cls, present: str | None) -> "PreconditionFailed":
        text = "The record belongs to another owner" if present is not None else "The record belongs to nobody"
        return cls("PRECONDITION_FAILED", text, {"field": "if_owner", "owner": present})


class IdempotencyMismatch(ApiError):
    http_status = 422

    def __init__(self) -> None:
        text = "This idempotency key was used with another request"
        super().__init__("IDEMPOTENCY_MISMATCH", text, {"field": "idempotency_key"})


class Unavailable(ApiError):
    http_status = 503
    retry_after_s = 1

    @classmethod
    def paused(cls, queue: str) -> "Unavailable":
        return cls("QUEUE_PAUSED", f"Queue '{queue}' is paused")

    @classmethod
    def disk_full(cls) -> "Unavailable":
        return cls("DISK_FULL", "The disk is nearly full: pushes are refused, pulls, acks, cancels and purges go on")

    @classmethod
    def stopping(cls) -> "Unavailable":
        return cls("SHUTTING_DOWN", "The node is shutting down")

    @classmethod
    def no_leader(cls) -> "Unavailable":
        return cls("NO_LEADER", "The cluster has no leader at the moment; nothing was changed")

    @classmethod
    def behind(cls, index: int, applied: int) -> "Unavailable":
        text = f"This node has applied entry {applied} of the log, and not yet {index}, which 'min_index' asks for"
        return cls("INDEX_NOT_REACHED", text, {"field": "min_index", "applied": applied})

    @classmethod
    def webhooks(cls) -> "Unavailable":
        return cls("WEBHOOKS_DISABLED", "Webhooks are not enabled")

    @classmethod
    def unknown_outcome(cls) -> "Unavailable":
        text = "The outcome is unknown; retry with the same idempotency key"
        return cls("OUTCOME_UNKNOWN", text)


class Limited(ApiError):
    http_status = 429
    retry_after_s = 1

    @classmethod
    def overloaded(cls) -> "Limited":
        return cls("OVERLOADED", "Too many commands are waiting to be stored")

    @classmethod
    def outbox_full(cls, name: str, limit: int) -> "Limited":
        text = f"The outbox of webhook '{name}' is full: {limit} deliveries wait"
        return cls("RATE_LIMITED", text, {"field": "name", "limit": limit})

    @classmethod
    def queue_full(cls, queue: str, limit: int) -> "Limited":
        return cls(
            "RATE_LIMITED",
            f"Queue '{queue}' holds {limit} waiting jobs, its limit",
            {"field": "max_waiting", "limit": limit},
        )
