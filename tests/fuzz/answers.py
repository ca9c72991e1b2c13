"""Judges: whether an answer is one that the description of the API promises.

Both send a case and give a verdict; neither knows how cases are made. Over TCP a case becomes the line that says the
same: path, query and body in one object.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import requests
from schemathesis.core import NotSet

from tests.fuzz.variants import AnyCase
from tests.unit.node_in_thread import Ports

PAGES = Path(__file__).resolve().parents[2] / "docs"
CODES = frozenset(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", (PAGES / "api.md").read_text(encoding="utf-8")))
LINE_CODES = CODES | {"UNKNOWN_COMMAND"}
PASSING = frozenset({"QUEUE_PAUSED", "NOT_READY", "SHUTTING_DOWN"})
"""5xx that say so themselves: cases pause queues too."""
TIMEOUT_S = 60


@dataclass
class Verdict:
    label: str
    problems: list[str] = field(default_factory=list)
    body: Any = None
    shown: str = ""


class Shapes:
    """Validators of the description, made when they are first asked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._made: dict[str, Any] = {}

    def operation(self, case: AnyCase) -> dict[str, Any]:
        found: dict[str, Any] = self._document["paths"][case.path][case.method.lower()]
        return found

    def problems(self, name: str, schema: dict[str, Any], value: Any) -> Iterator[str]:
        validator = self._made.get(name)
        if validator is None:
            whole = {**schema, "components": self._document["components"]}
            validator = self._made[name] = jsonschema_rs.validator_for(whole)
        for error in validator.iter_errors(value):
            yield f"the answer is not as described: {error.message[:100]}"

    def resolved(self, response: dict[str, Any]) -> dict[str, Any]:
        reference = response.get("$ref")
        if reference is None:
            return response
        found: dict[str, Any] = self._document["components"]["responses"][reference.rpartition("/")[2]]
        return found


class HttpJudge:
    def __init__(self, document: dict[str, Any], ports: Ports) -> None:
        self._shapes = Shapes(document)
        self._url = ports.url("http")
        self._session = requests.Session()

    def __enter__(self) -> "HttpJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def __call__(self, case: AnyCase) -> Verdict:
        try:
            request = requests.Request(**case.as_transport_kwargs(base_url=self._url)).prepare()
            response = self._session.send(request, timeout=TIMEOUT_S, allow_redirects=False)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, ValueError) as error:
            return Verdict(f"not sent: {type(error).__name__}")
        except requests.exceptions.RequestException as error:
            return Verdict("no answer", [f"no answer: {type(error).__name__}"])
        verdict = Verdict(str(response.status_code), shown=f"{response.status_code} {response.text[:300]}")
        described = self._shapes.operation(case)["responses"].get(str(response.status_code))
        if described is None:
            verdict.problems.append(f"status {response.status_code} is not described")
            return verdict
        for media, content in self._shapes.resolved(described).get("content", {}).items():
            if not response.headers["Content-Type"].startswith(media):
                verdict.problems.append(f"media type {response.headers['Content-Type']}")
            elif media == "application/json":
                verdict.body = msgspec.json.decode(response.content)
                name = f"{case.method} {case.path} {response.status_code}"
                verdict.problems += self._shapes.problems(name, content["schema"], verdict.body)
        verdict.problems += code_problems(verdict.body, CODES, server=response.status_code >= 500)
        return verdict


def code_problems(body: Any, known: frozenset[str], *, server: bool) -> Iterator[str]:
    """Whether a refusal has a code that is documented, and none that tells of a fault of ours."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):
        # The second system's shape: what words there are stands in its description.
        if server and error != "unavailable":
            yield f"a fault of the server: {error}"
        return
    code = error["code"] if error is not None else None
    if code is not None and code not in known:
        yield f"code {code} is not documented"
    if (server and code not in PASSING) or code == "INTERNAL_ERROR":
        yield f"a fault of the server: {code}"


class LineJudge:
    def __init__(self, document: dict[str, Any], ports: Ports) -> None:
        self._shapes = Shapes(document)
        self._port = ports.tcp
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> "LineJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def __call__(self, case: AnyCase) -> Verdict:
        operation = self._shapes.operation(case)
        line = line_of(operation["operationId"], case)
        if line is None:
            return Verdict("not sent: no line says this")
        self._socket.sendall(line + b"\n")
        answer = self._lines.readline()
        if not answer.endswith(b"\n"):
            self._connect()
            return Verdict("no answer", ["the connection ended"], shown=line[:300].decode("utf-8", "replace"))
        body = msgspec.json.decode(answer)
        verdict = Verdict(label_of(body), body=body, shown=f"{body!r:.300} to {line!r:.300}")
        if "error" not in body:
            schemas = [
                response["content"]["application/json"]["schema"]
                for status, response in operation["responses"].items()
                if status < "3" and "content" in response
            ]
            told = {key: value for key, value in body.items() if key != "request_id"}
            name = f"{case.method} {case.path}"
            verdict.problems += self._shapes.problems(name, {"anyOf": schemas}, told)
        verdict.problems += code_problems(body, LINE_CODES, server=False)
        return verdict


def label_of(body: dict[str, Any]) -> str:
    return str(body["error"]["code"]) if "error" in body else "ok"


_VERBS = {"pull_by_get": "pull", "pull_from_queues": "pull"}
_ONLY_HTTP = frozenset({"events", "metrics", "livez", "readyz"})


def line_of(operation: str, case: AnyCase) -> bytes | None:
    """The line with the same members, as bytes; None where TCP has no such verb, or JSON no such text."""
    if operation in _ONLY_HTTP:
        return None
    members: dict[str, Any] = {"cmd": _VERBS.get(operation, operation), **(case.path_parameters or {})}
    query = {key: _number(value) for key, value in (case.query or {}).items()}
    members |= query
    body = None if isinstance(case.body, NotSet) else case.body
    if isinstance(body, dict):
        members = {**body, **members}
    elif isinstance(body, list) and operation == "push":
        members |= {"cmd": "push_batch", "jobs": body}
    elif body is not None:
        members["items"] = body
    try:
        return msgspec.json.encode(members)
    except (TypeError, ValueError, UnicodeEncodeError, msgspec.MsgspecError):
        return None


def _number(value: Any) -> Any:
    """A query has texts only; a line has numbers and flags."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
