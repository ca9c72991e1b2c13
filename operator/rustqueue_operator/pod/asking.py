"""One HTTP exchange, as a pod needs it: with the nodes behind their Service, with its own node, with the API server.

The standard library only, since this stays in memory beside every node. It must not know what an answer means.
"""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Answer(Struct, frozen=True):
    """`status` 0: there was none, and nobody knows what happened. `code` is that of a refusal."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        error = self.body.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    @property
    def text(self) -> str:
        error = self.body.get("error")
        return str(error.get("message", "")) if isinstance(error, dict) else str(self.body.get("message", ""))


class Server(Struct, frozen=True):
    """Whom to ask. `ca` are certificates in PEM. The token of a pod is exchanged, so its file is read each time.
    `unverified` is for the node beside us, whose certificate names another host.
    """

    url: str
    token: str | None = None
    token_file: str | None = None
    ca: str | None = None
    ca_file: str | None = None
    unverified: bool = False

    def context(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file, cadata=self.ca)
        if self.unverified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def api_server(host: str, port: str, account: Path = _ACCOUNT) -> Server:
    """The one that this pod belongs to."""
    bracketed = f"[{host}]" if ":" in host else host
    return Server(f"https://{bracketed}:{port}", token_file=str(account / "token"), ca_file=str(account / "ca.crt"))


def own_namespace(account: Path = _ACCOUNT) -> str:
    return (account / "namespace").read_text(encoding="ascii").strip()


def ask(server: Server, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Answer:
    """One try, bounded in time. Whatever goes wrong on the way is an answer of status 0."""
    try:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        token = server.token
        if server.token_file is not None:
            token = Path(server.token_file).read_text(encoding="ascii").strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{server.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout_s, context=server.context()) as answer:
            return Answer(answer.status, _object(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _object(error.read()))
    except (OSError, ValueError) as error:
        return Answer(0, {"message": f"{type(error).__name__}: {error}"})


def _object(text: bytes) -> dict[str, Any]:
    """What is no JSON object says nothing to us."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
