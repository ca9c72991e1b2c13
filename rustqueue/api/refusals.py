"""The mistakes that only HTTP knows, as branches of the error tree of `rustqueue.model.errors`.

Codes and statuses are those of decisions A8. It must not know how an error is sent.
"""

from collections.abc import Iterable

from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Limited, NotFound, TooLarge


def shown(text: str) -> str:
    """What a client sent, fit for an answer: short, and with bytes that were no UTF-8 spelled out."""
    return text[:200].encode("utf-8", "backslashreplace").decode("utf-8")


class RouteNotFound(NotFound):
    def __init__(self, path: str) -> None:
        super().__init__("NOT_FOUND", f"There is no route '{shown(path)}'")


class MethodNotAllowed(ApiError):
    http_status = 405

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = sorted(allowed)
        text = f"{method} is not allowed here, only {', '.join(self.allowed)}"
        super().__init__("METHOD_NOT_ALLOWED", text, {"allowed": self.allowed})


class UnsupportedMediaType(ApiError):
    http_status = 415

    def __init__(self, header: str, value: str, expected: str) -> None:
        told = f"is '{shown(value)}'" if value else "is missing"
        text = f"{header} {told}, expected {expected}"
        super().__init__("UNSUPPORTED_MEDIA_TYPE", text, {"field": header.lower()})


class HostNotAllowed(ApiError):
    """The name that a request gives this server is none of its own: a web page may be asking under a name of its own
    that points here.
    """

    http_status = 421

    def __init__(self, host: str) -> None:
        super().__init__("HOST_NOT_ALLOWED", f"This server is not called '{shown(host)}'", {"field": "host"})


class TargetTooLarge(TooLarge):
    http_status = 414


class HeadersTooLarge(TooLarge):
    http_status = 431


class TooSlow(ApiError):
    """The connection is closed after this one."""

    http_status = 408

    def __init__(self, what: str, timeout_ms: int) -> None:
        text = f"The {what} did not arrive within {timeout_ms} ms"
        super().__init__("REQUEST_TIMEOUT", text, {"field": what, "limit": timeout_ms})


class Internal(ApiError):
    """A defect of ours: the text says nothing, the log has it all under the request id of the answer."""

    http_status = 500

    def __init__(self) -> None:
        super().__init__("INTERNAL_ERROR", "Internal error; the log has the details under this request id")


class NotReady(ApiError):
    http_status = 503
    retry_after_s = 1

    def __init__(self, reason: str) -> None:
        super().__init__("NOT_READY", f"The node is not ready: {reason}")


def too_many_connections(limit: int) -> Limited:
    return Limited("OVERLOADED", "Too many connections", {"field": "connections", "limit": limit})


class ForeignOrigin(ApiError):
    """A page of another site asks in the name of its visitor."""

    http_status = 403

    def __init__(self) -> None:
        super().__init__("FORBIDDEN", "Pages of this origin may not follow events", {"field": "origin"})


class UpgradeRequired(ApiError):
    http_status = 426

    def __init__(self, message: str) -> None:
        super().__init__("UPGRADE_REQUIRED", message, {"field": "upgrade"})


def too_many_followers() -> Limited:
    limit = limits.EVENT_CLIENTS_MAX
    return Limited("OVERLOADED", "Too many clients follow events", {"field": "followers", "limit": limit})
