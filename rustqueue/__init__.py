"""RustQueue: a durable job queue server, its client and its worker runtime.

Importing this package must stay cheap and must need nothing but the standard library and msgspec: the bare
installation is the client. Server parts are imported by the commands that need them.
"""

__version__ = "0.1.0"
