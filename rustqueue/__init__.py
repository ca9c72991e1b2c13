"""RustQueue: a durable job queue server, its client and its worker runtime.

Importing this package must stay cheap and must need nothing but the standard library and msgspec: the bare
installation is the client. Server parts are imported by the commands that need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustqueue.embedded import RustQueue as RustQueue

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The node inside one's own program, `rustqueue.RustQueue`, needs the extra `server`: imported when asked for."""
    if name == "RustQueue":
        return import_module("rustqueue.embedded").RustQueue
    raise AttributeError(f"module 'rustqueue' has no attribute {name!r}")
