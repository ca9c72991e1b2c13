"""The two ways to a node, as small as they can be: one request, one reply, or `Lost`.

Not the product's client on purpose: that one repeats calls and hides broken connections, and the crash test has to see
every one of them.
"""

import http.client
import json
import socket
from typing import Protocol

from rustqueue.history.lines import Object

REPLY_DEADLINE_S = 30


class Lost(Exception):
    """The connection broke. Whether the request was carried out is unknown."""


class Nonsense(Exception):
    """An answer that no node may give."""


class Connection(Protocol):
    def ask(self, request: Object) -> Object: ...

    def close(self) -> None: ...


class TcpConnection:
    """One newline-JSON connection with one request in flight."""

    def __init__(self, host: str, port: int, patience_s: float | None = None) -> None:
        """With `patience_s` a node that is silent for so long is as good as gone; without it, it has no right to be."""
        self._patience_s = patience_s
        try:
            self._socket = socket.create_connection((host, port), patience_s or REPLY_DEADLINE_S)
        except OSError as error:
            raise Lost(str(error)) from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb")

    def ask(self, request: Object) -> Object:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._input.readline()
        except TimeoutError:
            raise _silence(self._patience_s, request) from None
        except OSError as error:
            raise Lost(str(error)) from None
        if not line.endswith(b"\n"):
            raise Lost("closed")
        return _checked(json.loads(line), request)

    def close(self) -> None:
        self._input.close()
        self._socket.close()


class HttpConnection:
    """Pushes over HTTP; all other verbs of the crash test go over TCP."""

    def __init__(self, host: str, port: int, patience_s: float | None = None) -> None:
        self._patience_s = patience_s
        self._http = http.client.HTTPConnection(host, port, timeout=patience_s or REPLY_DEADLINE_S)
        try:
            self._http.connect()
        except OSError as error:
            raise Lost(str(error)) from None

    def ask(self, request: Object) -> Object:
        members = {key: value for key, value in request.items() if key not in ("cmd", "queue", "request_id")}
        key = members.pop("idempotency_key", None)
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        body = members["jobs"] if request["cmd"] == "push_batch" else members
        try:
            self._http.request("POST", f"/api/v1/queues/{request['queue']}/jobs", json.dumps(body), headers)
            answer = self._http.getresponse()
            text = answer.read()
        except TimeoutError:
            raise _silence(self._patience_s, request) from None
        except (OSError, http.client.HTTPException) as error:
            raise Lost(str(error)) from None
        if answer.status == 500:
            raise Nonsense(f"500 {text!r} for {request}")
        return _checked(json.loads(text), request)

    def close(self) -> None:
        self._http.close()


def _silence(patience_s: float | None, request: Object) -> Exception:
    if patience_s is not None:
        return Lost(f"no reply within {patience_s} s")
    return Nonsense(f"no reply within {REPLY_DEADLINE_S} s to {request}")


def _checked(reply: Object, request: Object) -> Object:
    echoed = reply.pop("request_id", request.get("request_id"))
    if echoed != request.get("request_id"):
        raise Nonsense(f"reply {reply} to {request['request_id']} names {echoed}")
    if not reply["ok"] and reply.get("error", {}).get("code", "").startswith("INTERNAL"):
        raise Nonsense(f"{reply} for {request}")
    return reply
