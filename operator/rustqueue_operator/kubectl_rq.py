"""`kubectl rq COMMAND...`: the command line of RustQueue against a cluster inside Kubernetes.

Finds the cluster by its ConfigMap, reads its token with the caller's own rights, forwards a port by kubectl and runs
`rustqueue COMMAND...` against it, so that what the client learns is here at once. Of its own it has `export`, which is
about objects of Kubernetes. Must not keep the token anywhere but in the environment of that one process.
"""

import argparse
import base64
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

from rustqueue_operator.kinds.export import OBJECTS, NotSayable
from rustqueue_operator.kinds.table import KINDS, KindName

_LABEL: Final = "rustqueue.io/cluster=true"
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_LOCAL: Final = frozenset({"serve", "demo", "bench", "check", "config"})
# What a person with kubectl in hand would say first, and what it is called in the command line.
_SHORT: Final = {
    ("pause",): ("queues", "pause"),
    ("resume",): ("queues", "resume"),
    ("peek",): ("jobs", "--state", "waiting", "--queue"),
    ("queue",): ("queues",),
    ("schedule",): ("schedules",),
    ("schedule", "run-now"): ("schedules", "run"),
    ("schedules", "run-now"): ("schedules", "run"),
    ("webhook",): ("webhooks",),
}
_SHORT_FORMS: Final = (
    "besides: pause QUEUE, resume QUEUE, peek QUEUE (what waits there), schedule run-now NAME, webhook test NAME, and "
    "export (queues, schedules and webhooks as objects)"
)
_STOP_S: Final = 5.0
_ASK_S: Final = 30.0
EXIT_INCOMPLETE: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_CONNECTION: Final = 3


class Failed(Exception):
    """What a person has to read, in one sentence."""

    def __init__(self, message: str, code: int = EXIT_NO_CONNECTION) -> None:
        super().__init__(message)
        self.code = code


class Found(Struct, frozen=True):
    """A cluster as its ConfigMap tells of it."""

    namespace: str
    scheme: str
    service: str
    port: int
    token_secret: str | None
    token_key: str
    ca: str | None


def main() -> int:
    return run(sys.argv[1:])


def run(words: list[str]) -> int:
    """The exit code of `rustqueue`, 2 for wrong use, 3 when there is no way to the cluster."""
    arguments = _parser().parse_args(words)
    try:
        if not arguments.command or arguments.command[0] in _LOCAL:
            raise Failed("say what to do with the cluster, as `kubectl rq status`; see rustqueue --help", EXIT_USAGE)
        kubectl = _kubectl(arguments)
        found = _find(kubectl, arguments.cluster)
        with _forwarded(kubectl, found) as port:
            token = _token(kubectl, found)
            if arguments.command == ["export"]:
                return _export(found, port, token)
            return _ask(found, port, token, _spoken_out(arguments.command))
    except Failed as failed:
        sys.stderr.write(f"kubectl rq: {failed}\n")
        return failed.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl rq",
        description="rustqueue COMMAND against a cluster in Kubernetes, through a forwarded port.",
        epilog=_SHORT_FORMS,
    )
    parser.add_argument("-n", "--namespace", help="where the cluster is, else the context's")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--kubeconfig")
    parser.add_argument("--cluster", metavar="NAME", help="its ConfigMap, where there are several in the namespace")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="as after `rustqueue`: status, queues, dlq, jobs, ..."
    )
    return parser


def _spoken_out(command: list[str]) -> list[str]:
    """The command as `rustqueue` knows it."""
    for count in (2, 1):
        meant = _SHORT.get(tuple(command[:count]))
        if meant is not None:
            return [*meant, *command[count:]]
    return command


def _kubectl(arguments: argparse.Namespace) -> list[str]:
    # kubectl tells its plugins where it lies itself only by the path; a test names another program.
    words = [os.environ.get("KUBECTL", "kubectl")]
    for name in ("namespace", "context", "kubeconfig"):
        value = getattr(arguments, name)
        words += [f"--{name}={value}"] if value else []
    return words


def _get(kubectl: list[str], *words: str) -> dict[str, Any]:
    try:
        done = subprocess.run([*kubectl, "get", *words, "--output=json"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failed(f"kubectl does not start: {error}") from error
    if done.returncode != 0:
        raise Failed(" ".join(done.stderr.split()))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _find(kubectl: list[str], name: str | None) -> Found:
    """The one cluster of the namespace, or the one of that name."""
    items = _get(kubectl, "configmaps", f"--selector={_LABEL}")["items"]
    chosen = [item for item in items if name in (None, item["metadata"]["name"])]
    names = ", ".join(sorted(item["metadata"]["name"] for item in items)) or "none"
    if len(chosen) != 1:
        raise Failed(
            f"choose one cluster of this namespace by --cluster (there: {names}), or another by -n", EXIT_USAGE
        )
    metadata, data = chosen[0]["metadata"], chosen[0]["data"]
    address = urlsplit(data["address"])
    return Found(
        namespace=metadata["namespace"],
        scheme=address.scheme,
        service=(address.hostname or "").partition(".")[0],
        port=address.port or 6790,
        token_secret=data.get("tokenSecret"),
        token_key=data.get("tokenKey", "token"),
        ca=data.get("ca.crt"),
    )


def _token(kubectl: list[str], found: Found) -> str | None:
    if found.token_secret is None:
        return None
    secret = _get([*kubectl, f"--namespace={found.namespace}"], "secret", found.token_secret)
    value = (secret.get("data") or {}).get(found.token_key)
    if value is None:
        raise Failed(f"the Secret {found.token_secret} has no key {found.token_key}")
    return base64.b64decode(value).decode().strip()


@contextmanager
def _forwarded(kubectl: list[str], found: Found) -> Iterator[int]:
    """A port on loopback that leads to the Service, for the length of a block."""
    words = [*kubectl, f"--namespace={found.namespace}", "port-forward", f"service/{found.service}", f":{found.port}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = _FORWARDING.search(process.stdout.readline())
        if said is None:
            process.terminate()
            raise Failed(" ".join(process.stderr.read().split()) or "kubectl port-forward ended")
        yield int(said[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_STOP_S)


def _export(found: Found, port: int, token: str | None) -> int:
    """All queues, schedules and webhooks as one list of objects, which `kubectl apply` takes; what cannot be said is
    named.
    """
    context = ssl.create_default_context(cadata=found.ca) if found.scheme == "https" else None

    def ask(path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{found.scheme}://127.0.0.1:{port}/api/v1{path}")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_ASK_S, context=context) as answer:
                told: dict[str, Any] = json.load(answer)
        except OSError as error:
            raise Failed(f"the cluster does not tell what is in it: {error}") from error
        return told

    objects, notes = [], []
    for kind, name, settings in _settings(ask):
        try:
            made = OBJECTS[kind](name, settings)
        except NotSayable as problem:
            notes.append(f"{kind.lower()} {name} is left out: {problem}")
            continue
        objects.append(made)
        if "secretKeyRef" in made["spec"]:
            secret = made["spec"]["secretKeyRef"]["name"]
            notes.append(f"{kind.lower()} {name}: its secret is not told; make the Secret {secret} that it names")
    sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2) + "\n")
    sys.stderr.writelines(f"kubectl rq: {note}\n" for note in notes)
    return EXIT_INCOMPLETE if notes else 0


def _settings(ask: Callable[[str], dict[str, Any]]) -> Iterator[tuple[KindName, str, dict[str, Any]]]:
    """All that can be declared: kind, name and settings."""
    for summary in ask("/queues")["queues"]:
        answer = ask(f"/queues/{quote(summary['name'], safe='')}")
        yield "Queue", summary["name"], KINDS["Queue"].settings_of(answer)
    for kind in (KINDS["Schedule"], KINDS["Webhook"]):
        cursor: str | None = ""
        while cursor is not None:
            page = ask(f"/{kind.plural}" + (f"?cursor={quote(cursor, safe='')}" if cursor else ""))
            for item in page[kind.plural]:
                yield kind.name, item["name"], kind.settings_of({kind.name.lower(): item})
            cursor = page.get("next_cursor")


def _ask(found: Found, port: int, token: str | None, command: list[str]) -> int:
    environment = {**os.environ, "RUSTQUEUE_URL": f"{found.scheme}://127.0.0.1:{port}"}
    environment.pop("RUSTQUEUE_TOKEN", None)
    if token is not None:
        environment["RUSTQUEUE_TOKEN"] = token
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as authority:
        if found.ca is not None:
            authority.write(found.ca)
            authority.flush()
            environment["RUSTQUEUE_CA_FILE"] = authority.name
        return subprocess.run([sys.executable, "-m", "rustqueue", *command], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
