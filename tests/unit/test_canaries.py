"""One canary for each kind of secret, through every surface of a node: none may sing anywhere but where it was given.

Surfaces: every GET route, refusals of every kind, the log in both forms, metrics, events, traces, audit lines, rows,
journal, files, a snapshot, a backup, and what the commands about settings print.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rustqueue.api.routes import ROUTES
from rustqueue.cli.program import run
from rustqueue.client import AsyncClient
from rustqueue.effects.logs import JsonLines, PrettyLines
from rustqueue.node import Node, running_node
from rustqueue.settings import load_settings
from tests.fuzz.shell import Wire
from tests.unit.otlp_receiver import Collector, collecting
from tests.unit.tcp_client import RawClient, connected
from tests.unit.webhook_receiver import a_receiver, answers

CHIEF = "canary-chief-token-0123456789abcdef"
SECRET, PREVIOUS = "canary-secret-0123456789abcdef", "canary-previous-0123456789abcdef"
HEADER = "canary-header-0123456789abcdef"
DSN = "canary-dsn-0123456789abcdef"
GUESS = "canary-guess-0123456789abcdef"
CANARIES = (CHIEF, SECRET, PREVIOUS, HEADER, DSN, GUESS)

CONFIG = """
[server]
host = "127.0.0.1"
http_port = 0
tcp_port = 0
[storage]
path = "{folder}"
postgres_url = "postgres://queue:{dsn}@db.internal/queue"
[auth]
enabled = true
tokens = ["{chief}"]
[logging]
level = "trace"
[webhooks]
enabled = true
max_retries = 0
allowed_networks = ["127.0.0.0/8"]
[tracing]
endpoint = "{collector}"
send_every_ms = 100
"""

PLACES = {"queue": "mail", "name": "hook", "token_id": "0" * 16, "flow_id": "f", "worker_id": "w", "sweep_id": "1"}


class Surface:
    """Everything that was said by anybody, to look through at the end."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def hear(self, where: str, text: object) -> None:
        said = text if isinstance(text, str) else text.decode() if isinstance(text, bytes) else repr(text)
        self.said[where] = self.said.get(where, "") + said

    def traitors(self) -> list[tuple[str, str]]:
        return [(where, canary) for where, text in self.said.items() for canary in CANARIES if canary in text]


@pytest.fixture
def collector() -> Any:
    with collecting() as made:
        yield made


@pytest.fixture
async def receiver_url() -> AsyncIterator[str]:
    async with a_receiver(answers("HTTP/1.1 500 No\nContent-Length: 0\n\n")) as receiver:
        yield receiver.url()


async def read_everything(wire: Wire, surface: Surface, job_id: str, made: dict[str, str]) -> None:
    """All GET routes, with names of things that are there."""
    headers = (("Authorization", f"Bearer {CHIEF}"),)
    for route in ROUTES:
        if route.method != "GET" or route.path.endswith("/events"):
            continue
        path = route.path
        for place, value in {**PLACES, "id": job_id, "job_id": job_id, **made}.items():
            path = path.replace(f"{{{place}}}", value)
        answer = await wire.ask("GET", path.replace("{", "").replace("}", ""), None, headers)
        surface.hear(f"GET {route.path}", answer.body)
        assert answer.status < 500 or route.path.endswith("/readyz"), (path, answer.body)


async def make_every_mistake(wire: Wire, tcp: RawClient, surface: Surface, url: str) -> None:
    """Refusals of all kinds, by requests that hold a secret in the wrong place or beside a mistake."""
    mine = (("Authorization", f"Bearer {CHIEF}"),)
    hook = {"url": url, "secret": SECRET, "headers": {"Authorization": HEADER}}
    bodies: list[tuple[str, str, object]] = [
        ("PUT", "/api/v1/webhooks/hook", {**hook, "nonsense": 1}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "secret": [SECRET]}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "secret": SECRET * 100}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "headers": {"X-A": f"{HEADER}\r\nX-B: 1"}}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "headers": {"Bad name": HEADER}}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "events": [1]}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "url": "ftp://127.0.0.1/"}),
        ("PUT", "/api/v1/webhooks/hook", {**hook, "url": "http://10.0.0.1/"}),
        ("POST", "/api/v1/webhooks/hook/secret", hook),
        ("POST", "/api/v1/tokens", {"name": "t", "token": GUESS, "scopes": []}),
    ]
    for number, (method, path, body) in enumerate(bodies):
        answer = await wire.ask(method, path, json.dumps(body).encode(), mine)
        assert 400 <= answer.status < 500, (path, body, answer.body)
        surface.hear(f"mistake {number}", answer.body)
    for number, raw in enumerate((b'{"secret":"%s"' % SECRET.encode(), b'{"secret":"%s"}}' % SECRET.encode())):
        answer = await wire.ask("PUT", "/api/v1/webhooks/hook", raw, mine)
        assert 400 <= answer.status < 500
        surface.hear(f"broken {number}", answer.body)
    for number, given in enumerate((f"Bearer {GUESS}", f"Basic {GUESS}", f"Bearer rq_{'0' * 16}_{GUESS}")):
        answer = await wire.ask("GET", f"/api/v1/queues?token={GUESS}", None, (("Authorization", given),))
        assert answer.status in (400, 401)
        surface.hear(f"guess {number}", answer.body)
    guesses: tuple[dict[str, object], ...] = ({"token": GUESS}, {"token": GUESS, "x": 1}, {"token": [GUESS]})
    for number, fields in enumerate(guesses):
        surface.hear(f"auth {number}", await tcp.ask("auth", **fields))


async def use(node: Node, surface: Surface, url: str, job: dict[str, str]) -> None:
    async with AsyncClient(f"http://127.0.0.1:{node.http.port}", token=CHIEF) as client, connected(node) as tcp:
        await tcp.ask("auth", token=CHIEF)
        options: Any = {"secret": SECRET, "previous_secret": PREVIOUS, "headers": {"Authorization": HEADER}}
        surface.hear("put", await client.put_webhook("hook", url, **options))
        made = await client.create_token("app", [{"verbs": ["push"], "queues": ["mail"]}])
        job["token"] = made.token[-20:]  # The end of its secret, which may hold any letter of a token.
        job["id"] = await client.push("mail", "n", {"n": 1})
        await client.put_schedule("nightly", "mail", "n", every_ms=3_600_000)
        while not (await client.webhook_deliveries("hook", show="given_up")).deliveries:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # Nobody is told of a delivery that was given up.
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        await read_everything(wire, surface, job["id"], {"token_id": made.id})
        backup = await client.begin_backup()
        for kept in backup.manifest.files:
            piece = await client.read_backup(backup.id, kept.name)
            surface.hear("backup", piece.rstrip(b"\0").decode("latin-1"))
        async with connected(node) as stranger:
            await make_every_mistake(wire, stranger, surface, url)
        await wire.close()


async def test_no_secret_sings(
    tmp_path: Path, collector: Collector, receiver_url: str, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    folder, file, surface = tmp_path / "data", tmp_path / "rustqueue.toml", Surface()
    file.write_text(CONFIG.format(folder=folder, dsn=DSN, chief=CHIEF, collector=collector.url))
    settings = load_settings(str(file), {}, {})
    surface.hear("notes", settings.notes)
    job: dict[str, str] = {}
    async with running_node(settings) as node:
        await use(node, surface, receiver_url, job)
        surface.hear("metrics", node.metrics.text())
        surface.hear("rows", node.machine.view().scan(b"", b"\xff" * 9, 100_000))
        store: Any = node.machine.view()
        store.checkpoint(str(folder / "snapshot"))
    for record in caplog.records:
        for form in (JsonLines(), PrettyLines()):
            surface.hear("log", form.format(record))
    surface.hear("traces", b"".join(collector.bodies).decode("latin-1"))
    for words in (["config", "show"], ["config", "show", "--output", "json"], ["config", "check"]):
        run([*words, "--config", str(file)])
    run(["check", "--data", str(folder)])
    surface.hear("commands", "".join(capsys.readouterr()))
    for path in folder.rglob("*"):
        if path.is_file():
            surface.hear(str(path.relative_to(folder)), path.read_bytes().rstrip(b"\0").decode("latin-1"))

    # Then none is anywhere, nor the token that was made
    assert surface.traitors() == []
    assert [where for where, text in surface.said.items() if job["token"] in text] == []
    # And it was looked where things are: the job is in an answer, in the log of audits, in rows, files and commands
    assert job["id"] in surface.said["GET /api/v1/jobs/{id}"]
    assert '"administration"' in surface.said["log"]
    assert "mail" in surface.said["rows"]
    assert any(where.startswith("snapshot/") and "mail" in text for where, text in surface.said.items())
    assert any(where.startswith("journal/") and "mail" in text for where, text in surface.said.items())
    assert "mail" in surface.said["backup"]
    assert "postgres_url" in surface.said["commands"]
    assert "webhook_put" in surface.said["traces"]
