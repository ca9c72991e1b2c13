"""The TCP shell: newline-delimited JSON on port 6789 (contract A7), pipelined.

`protocol` turns bytes into lines and replies into bytes and knows no socket; `connection` is one client's conversation;
`server` is all of them. None of them knows what a verb means.
"""

from rustqueue.tcp.options import TcpOptions
from rustqueue.tcp.server import TcpShell

__all__ = ["TcpOptions", "TcpShell"]
