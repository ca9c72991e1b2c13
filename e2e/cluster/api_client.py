"""The few calls that the cluster's own helpers need of the API server, as its administrator."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

Object = dict[str, Any]
ABSENT, CONFLICT, REFUSED = 404, 409, 400


class ApiClient:
    """Raises OSError or HTTPException for what may be better a moment later."""

    def __init__(self, server: str, pki: Path) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=context, timeout=10)

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer's object; what is gone or there already is an answer too."""
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # The next call opens a new one.
            raise
        if answer.status >= REFUSED and answer.status not in (ABSENT, CONFLICT):
            raise OSError(f"{method} {path}: {data[:300]!r}")
        found: Object = json.loads(data)
        return found

    def items(self, path: str) -> list[Object]:
        found: list[Object] = self.call("GET", f"{path}?resourceVersion=0").get("items", [])
        return found
