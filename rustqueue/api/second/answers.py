"""Replies as the second system says them, and refusals as its errors: `{"error": slug, "message": text}`.

It must not know requests. Invariant: a refusal tells as much as elsewhere and no more: of a failure of ours only that
there was one, under the request id that the answer's header carries.
"""

from typing import Final

import msgspec

from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.kinds.replies import KindJobCreated, KindJobPage, OneKindJob
from rustqueue.model.kinds.values import ENDED
from rustqueue.model.replies import Cancelling, Refused, Reply, Seen, status_of

_SLUGS: Final = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "validation",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}
"""That system knows `not_found`, `bad_request`, `conflict`, `validation` and `internal`; the rest is about what it
lacks. Every other refusal is about a bad request.
"""
_INCOMPLETE: Final = "X-RustQueue-Incomplete: true\r\n"

_encode: Final = msgspec.json.Encoder().encode


def refusal(refused: Refused) -> tuple[int, bytes]:
    slug = _SLUGS.get(refused.status, "bad_request")
    return refused.status, _encode({"error": slug, "message": _message(refused)})


def _message(refused: Refused) -> str:
    error = refused.error
    if refused.status == 404:
        return "resource not found"
    if refused.status == 500:
        return "internal server error"
    if error.code == "INVALID_STATE":
        state = (error.details or {}).get("state", "")
        return f"job is already in terminal state {ENDED.get(state, state)}"
    return error.message.removeprefix("Validation error: ")


def answer(reply: Reply, job_id: str) -> tuple[int, bytes, str]:
    """Status, body and further headers. `job_id` is the one that the path names."""
    if isinstance(reply, Seen):
        return answer(reply.reply, job_id)
    if isinstance(reply, Refused):
        return *refusal(reply), ""
    if isinstance(reply, KindJobCreated):
        return 201 if reply.created else 200, _encode(reply.job), ""
    if isinstance(reply, OneKindJob):
        return 200, _encode(reply.job), ""
    if isinstance(reply, KindJobPage):
        return 200, _encode(reply.jobs), "" if reply.whole else _INCOMPLETE
    state = "pending" if isinstance(reply, Cancelling) else "cancelled"
    return status_of(reply), _encode({"status": state, "job_id": _canonical(job_id)}), ""


def _canonical(job_id: str) -> str:
    """The id as answers spell it: a path may have it in other letters."""
    return id_text(parse_id(job_id) or b"")


def health(ready: bool) -> tuple[int, bytes]:
    """That system asks its database; here it is whether this node can do its work now."""
    if ready:
        return 200, _encode({"status": "ok"})
    return 500, _encode({"error": "internal", "message": "internal server error"})
