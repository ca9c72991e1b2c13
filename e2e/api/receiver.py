"""A receiver of webhooks that keeps what it was sent."""

import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from e2e.harness.control_plane import LOOPBACK


class Receiver:
    """Takes deliveries and keeps the headers of each."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/in"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def signed_by(self, key: str) -> bool:
        """Whether the last delivery carries the signature that this key makes."""
        headers, body = self.seen[-1]
        return headers["x-rustqueue-signature"] == f"sha256={hmac.new(key.encode(), body, 'sha256').hexdigest()}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
