"""A Kubernetes API server as far as TokenReview goes: real HTTP or HTTPS on loopback, answering as a real one does."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.certificates import Pair

NODE_TOKEN = "the node's own token"


class Reviews:
    """What the server knows, and what it was asked. `accounts` maps a token to its user name."""

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.asked: list[str] = []
        self.audiences = ["rustqueue"]
        self.status = 201
        self.body: bytes | None = None
        self.hold = threading.Event()
        self.hold.set()

    def answer(self, own_token: str, question: Any) -> tuple[int, bytes]:
        assert own_token == f"Bearer {NODE_TOKEN}"
        assert (question["kind"], question["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
        token, wanted = question["spec"]["token"], question["spec"]["audiences"]
        self.asked.append(token)
        self.hold.wait(10)
        if self.body is not None:
            return self.status, self.body
        user = self.accounts.get(token)
        if user is None:
            status: Any = {"user": {}, "error": "invalid bearer token"}
        else:
            shared = [audience for audience in wanted if audience in self.audiences]
            extra = {"authentication.kubernetes.io/pod-name": ["pod"]}
            status = {
                "authenticated": bool(shared),
                "user": {"username": user, "uid": "u", "groups": ["system:serviceaccounts"], "extra": extra},
                "audiences": shared,
            }
        return self.status, json.dumps({**question, "metadata": {}, "status": status}).encode()


@contextmanager
def api_server(reviews: Reviews, tls: Pair | None = None) -> Iterator[str]:
    """A running server; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = reviews.answer(self.headers["Authorization"], question)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        reviews.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
