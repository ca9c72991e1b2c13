"""The real links between members: TCP or TLS 1.3, one connection a direction, length-prefixed msgpack frames.

`frames` turns bytes into values; `greeting` decides who is let in; `inbound`, `outbound` and `listener` are
connections; `tcp` is all of them together, the body of `rustqueue.raft.links.Links`.
"""

from rustqueue.raft.transport.credentials import CredentialsError, TlsFiles
from rustqueue.raft.transport.faults import Fault
from rustqueue.raft.transport.options import LinkOptions
from rustqueue.raft.transport.tcp import TcpLinks

__all__ = ["CredentialsError", "Fault", "LinkOptions", "TcpLinks", "TlsFiles"]
