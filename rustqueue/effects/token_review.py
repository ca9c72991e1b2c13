"""Questions to a Kubernetes API server: whose token is this? (`authentication.k8s.io/v1`, TokenReview)

It must not know what anybody may do. Invariants: a question blocks threads of its own only, and each for a bounded
time; the token of a client leaves in the body of the question and nowhere else; an answer that names another audience
than ours is a no.
"""

import http.client
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from rustqueue.auth import Reviewed
from rustqueue.model import limits
from rustqueue.raft.ports import Executor

log: Final = logging.getLogger("rustqueue.token_review")

_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is, and the files with which a node proves itself; both files are read for each question,
    since Kubernetes exchanges them.
    """

    url: str
    ca_file: str
    token_file: str
    audience: str


class _User(Struct, frozen=True):
    username: str = ""


class _Status(Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: list[str] = []
    error: str = ""


class _Answer(Struct):
    status: _Status = _Status()


class ReviewFailed(Exception):
    """The API server could not be asked, or did not answer the question."""


class TokenReviews:
    """A body of `rustqueue.auth.service_accounts.Review` over threads."""

    def __init__(self, server: ApiServer, threads: Sequence[Executor], monotonic_s: Callable[[], float]) -> None:
        self._server = server
        self._threads = cycle(threads)
        self._monotonic_s = monotonic_s

    def __call__(self, token: str, told: Callable[[Reviewed | None], None]) -> None:
        def done(result: Any, failure: BaseException | None) -> None:
            if failure is not None:
                # The failure tells of the API server, never of the token.
                log.warning("token review failed", extra={"reason": str(failure), "server": self._server.url})
            told(result if failure is None else None)

        asked_s = self._monotonic_s()

        def ask() -> Reviewed:
            # Behind questions that were not answered: whoever asked this one has waited long enough.
            if self._monotonic_s() - asked_s > limits.REVIEW_TIMEOUT_S:
                raise ReviewFailed("other questions took too long")
            return review(self._server, token)

        next(self._threads).run(ask, done)


def review(server: ApiServer, token: str) -> Reviewed:
    """Ask, and wait for the answer. Raises `ReviewFailed`."""
    question = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [server.audience]},
    }
    try:
        own_token = Path(server.token_file).read_text(encoding="utf-8").strip()
        status, body = _exchange(server, own_token, msgspec.json.encode(question))
    except (OSError, http.client.HTTPException) as error:
        raise ReviewFailed(f"{type(error).__name__}: {error}") from None
    if status not in (200, 201):
        raise ReviewFailed(f"status {status}")
    try:
        answer = msgspec.json.decode(body, type=_Answer).status
    except msgspec.MsgspecError as error:
        raise ReviewFailed(f"the answer is no TokenReview: {error}") from None
    good = answer.authenticated and server.audience in answer.audiences and not answer.error
    return Reviewed(answer.user.username if good else None)


def _exchange(server: ApiServer, own_token: str, body: bytes) -> tuple[int, bytes]:
    url = urlsplit(server.url)
    host, scheme = url.hostname or "", _scheme_of(url.scheme)
    if scheme == "https":
        context = ssl.create_default_context(cafile=server.ca_file or None)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=limits.REVIEW_TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=limits.REVIEW_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {own_token}", "Content-Type": "application/json", "Accept": "application/json"}
    try:
        connection.request("POST", f"{url.path.rstrip('/')}{_PATH}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(limits.REVIEW_ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _scheme_of(text: str) -> Literal["http", "https"]:
    return "http" if text == "http" else "https"
