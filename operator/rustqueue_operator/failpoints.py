"""Places at which a test lets the operator die: just before it writes something, or as soon as that is written.

Off unless the environment names a file. Who wants a death writes one line into that file, `before POINT` or
`after POINT`; a point is a write as `kubernetes_point` and `cluster_point` call it. The file is removed before the
death, so that the next process goes on. It dies as by SIGKILL, which the first process of a container cannot send to
itself: at once, without an answer to anybody and without giving anything back.
"""

import os
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

FILE: Final = "RUSTQUEUE_OPERATOR_FAILPOINT"
EXIT_CODE: Final = 86
"""Nothing else ends with it, so that a test knows of what the process died."""


def reached(when: Literal["before", "after"], point: str) -> None:
    """Does not return if this is the place."""
    named = os.environ.get(FILE)
    if named is None:
        return
    file = Path(named)
    try:
        wanted = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return
    if wanted == f"{when} {point}":
        file.unlink()
        os._exit(EXIT_CODE)


def kubernetes_point(method: str, path: str) -> str:
    """A write to the API server, in the words of a role: `PATCH queues/status`, `POST events`."""
    _, _, inside = path.partition("/namespaces/")
    _, resource, *rest = inside.split("/")
    return f"{method} {'/'.join([resource, *rest[1:]])}"


def cluster_point(method: str, path: str) -> str:
    """A write to the queue: `PUT /queues`, `DELETE /cluster/members`; without the name of the thing, which is last."""
    return f"{method} {urlsplit(path).path.rpartition('/')[0]}"
