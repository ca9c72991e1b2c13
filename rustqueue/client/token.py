"""The bearer token of a client: a text, or whatever gives the present one. Kubernetes exchanges the file of a
ServiceAccount's token while a worker runs, and a token that has expired is refused on open connections too.
"""

import os
from collections.abc import Callable
from pathlib import Path

from rustqueue.client.errors import InvalidRequest

Token = str | Callable[[], str]
"""What clients take."""


class TokenFile:
    """The token that a file holds now: `Client(url, token=TokenFile("/var/run/secrets/rustqueue/token"))`."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        try:
            status = os.stat(self._path)
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._token = Path(self._path).read_text(encoding="utf-8").strip()
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidRequest("VALIDATION_ERROR", f"cannot read the token in {self._path}: {reason}", 400) from error
        return self._token


def text_of(token: Token | None) -> str | None:
    """The token to show now."""
    return token if token is None or isinstance(token, str) else token()
