"""The pages as a person meets them: opened and clicked through in Chromium. `SCREENSHOTS=DIR` keeps pictures."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rustqueue.client import AsyncClient
from rustqueue.node import Node
from rustqueue.settings.sections import AuthSettings
from tests.browser.attacks import ATTACKS
from tests.browser.chromium import Tab, chromium, program
from tests.unit.tcp_client import a_node

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(program() is None, reason="no Chromium is installed"),
]

TOKEN = "the token of the pages"


@asynccontextmanager
async def opened(tmp_path: Path, path: str, **sections: Any) -> AsyncIterator[tuple[Node, AsyncClient, Tab]]:
    """A node with some jobs, a client, and a tab at a page of the node."""
    token = TOKEN if "auth" in sections else None
    async with a_node(**sections) as node:
        url = f"http://127.0.0.1:{node.http.port}"
        async with AsyncClient(url, token=token) as client, chromium(tmp_path) as tab:
            await client.push_batch("mail", [{"name": "welcome", "data": {"n": number}} for number in range(5)])
            await tab.open(url + path)
            yield node, client, tab
            assert tab.faults == []
            assert tab.dialogs == []
            foreign = [
                url_ for url_ in tab.requested if not url_.startswith((url, url.replace("http", "ws"), "about:"))
            ]
            assert foreign == []


async def picture(tab: Tab, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        keep(Path(folder) / f"{name}.png", await tab.picture())


def keep(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def dead(client: AsyncClient, queue: str, errors: tuple[str, ...]) -> None:
    await client.push_batch(queue, [{"name": "n", "max_attempts": 1} for _ in errors])
    for job, error in zip(await client.pull(queue, len(errors)), errors, strict=True):
        await client.fail(job, error)


def shows(text: str) -> str:
    return f"document.body.innerText.includes({text!r})"


async def test_the_landing_page_leads_on(tmp_path: Path) -> None:
    async with opened(tmp_path, "/") as (_, _, tab):
        await tab.until(shows("it is running"))
        await picture(tab, "landing")
        await tab.click("a[href='/dashboard']")
        await tab.until("document.querySelector('[data-total=Waiting] .number').innerText === '5'")
        await picture(tab, "overview")


async def test_a_queue_is_paused_and_resumed(tmp_path: Path) -> None:
    async with opened(tmp_path, "/dashboard#queues") as (_, client, tab):
        await tab.click("[data-queue=mail] [data-act=pause]")
        await tab.until(shows("paused (reject)"))
        assert (await client.stats("mail")).mode == "reject"
        await picture(tab, "queues")
        await tab.click("[data-queue=mail] [data-act=resume]")
        await tab.until(shows("open"))
        assert (await client.stats("mail")).mode == "normal"


async def test_dead_letters_are_retried_one_or_all(tmp_path: Path) -> None:
    async with opened(tmp_path, "/dashboard#dlq") as (_, client, tab):
        await dead(client, "reports", ("no such host", "disk quota exceeded", "timed out"))
        await tab.open(await tab.value("location.href"))
        await tab.until("document.querySelector('#dlq-queue')")
        await tab.value(
            "(() => { const s = document.querySelector('#dlq-queue'); s.value = 'reports';"
            " s.dispatchEvent(new Event('change')) })()"
        )
        await tab.until(shows("disk quota exceeded"))
        await picture(tab, "dead-letters")
        await tab.click("[data-act=retry]")
        await tab.until("document.querySelectorAll('[data-act=retry]').length === 2")
        assert (await client.stats("reports")).counts.waiting == 1
        await tab.click("[data-act=retry-all]")
        await tab.until(shows("Nothing is dead here"))
        assert (await client.stats("reports")).counts.waiting == 3


async def test_a_schedule_is_paused_and_run(tmp_path: Path) -> None:
    async with opened(tmp_path, "/dashboard#schedules") as (_, client, tab):
        await client.put_schedule("nightly", "reports", "report", cron_expr="0 3 * * *", timezone="Europe/Paris")
        await tab.open(await tab.value("location.href"))
        await tab.until(shows("0 3 * * * (Europe/Paris)"))
        await tab.click("[data-schedule=nightly] [data-act=run]")
        await tab.until("document.querySelector('[data-schedule=nightly] dd:nth-of-type(3)').innerText === '1'")
        assert (await client.stats("reports")).counts.waiting == 1
        await picture(tab, "schedules")
        await tab.click("[data-schedule=nightly] [data-act=pause]")
        await tab.until("document.querySelector('[data-schedule=nightly] .tag').innerText === 'paused'")
        assert (await client.get_schedule("nightly")).paused


async def test_events_appear_as_they_happen(tmp_path: Path) -> None:
    async with opened(tmp_path, "/dashboard#events") as (node, client, tab):
        await tab.until("document.querySelector('#dot').className === 'dot on'")
        job_id = await client.push("live", "n", {})
        await tab.until(shows(job_id))
        await tab.until(shows("job.pushed"))
        await picture(tab, "events")
        assert node.stream.followers_count == 1
        await tab.click("[data-act=clear]")
        await tab.until("document.querySelector('#log').childElementCount === 0")


async def test_with_tokens_there_is_a_login(tmp_path: Path) -> None:
    auth = AuthSettings(enabled=True, tokens=[TOKEN])
    async with opened(tmp_path, "/dashboard", auth=auth) as (_, client, tab):
        await tab.until("!document.querySelector('#login').hidden")
        await picture(tab, "login")
        await tab.type("#token", "a wrong one")
        await tab.click("#login button")
        await tab.until(shows("Invalid bearer token"))
        await tab.type("#token", TOKEN)
        await tab.click("#login button")
        await tab.until("document.querySelector('[data-total=Waiting] .number').innerText === '5'")
        await tab.until("document.querySelector('#dot').className === 'dot on'")
        kept = await tab.value("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
        assert TOKEN not in kept
        await tab.click("#logout")
        await tab.until("!document.querySelector('#login').hidden")
        await client.push("mail", "n", {})
        assert TOKEN not in await tab.value("document.documentElement.outerHTML")
        # The browser itself tells of the two answers 401, which is right.
        assert len(tab.faults) >= 2
        assert all("401" in fault for fault in tab.faults)
        tab.faults.clear()


async def test_the_description_opens_and_tries(tmp_path: Path) -> None:
    async with opened(tmp_path, "/api/v1/docs") as (_, _, tab):
        await tab.click("#health summary")
        await tab.until(shows("Says who answers"))
        await tab.click("#health .attempt summary")
        await tab.click("#health button.main")
        await tab.until("document.querySelector('#health .attempt > pre').innerText.startsWith('200')")
        await tab.click("#push summary")
        await tab.until(shows("custom_id"))
        await picture(tab, "api")


SHOWN = 50
"""Dead letters on a page."""


async def test_what_users_write_is_text(tmp_path: Path) -> None:
    assert len(set(ATTACKS)) >= 100
    parts = [ATTACKS[start : start + SHOWN] for start in range(0, len(ATTACKS), SHOWN)]
    async with opened(tmp_path, "/dashboard#dlq") as (_, client, tab):
        for number, errors in enumerate(parts):
            await dead(client, f"attacked-{number}", errors)
        for number, errors in enumerate(parts):
            await tab.value(
                "(async () => { while (true) { const s = document.querySelector('#dlq-queue');"
                f" if (s && [...s.options].some((o) => o.value === 'attacked-{number}')) {{"
                f" s.value = 'attacked-{number}'; s.dispatchEvent(new Event('change')); return }} "
                " await new Promise((done) => setTimeout(done, 50)) } })()"
            )
            cells = "[...document.querySelectorAll('tbody td:nth-child(3)')].map((cell) => cell.textContent)"
            await tab.until(f"JSON.stringify({cells}.sort()) === JSON.stringify({json.dumps(sorted_as_there(errors))})")
            made = ", ".join(f"main {name}" for name in FOREIGN)
            assert await tab.value(f"document.querySelectorAll({made!r}).length") == 0
            assert await tab.value("document.querySelectorAll('main [style], main [onerror], main [href]').length") == 0
            # Nothing covers the page or has moved it elsewhere.
            assert (await tab.value("location.pathname")) == "/dashboard"


FOREIGN = (
    *("script", "iframe", "img", "svg", "math", "video", "audio", "object", "embed", "base", "meta", "link", "style"),
    *("template", "form", "input", "textarea", "marquee", "details", "dialog", "noscript", "a", "x"),
)


def sorted_as_there(texts: Sequence[str]) -> list[str]:
    """As JavaScript sorts: by UTF-16 units."""
    return sorted(texts, key=lambda text: text.encode("utf-16-be"))


async def test_no_page_is_wider_than_a_telephone(tmp_path: Path) -> None:
    async with opened(tmp_path, "/") as (node, client, tab):
        # Given names and errors that are longer than a line
        await dead(client, "reports.monthly.with-a-name.that-goes-on-and-on.and-on", ("could not reach " + "x" * 80,))
        await tab.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        url = f"http://127.0.0.1:{node.http.port}"
        shown_by_path = {
            "/": f"curl -X POST {url}/",
            "/dashboard#overview": "Log entries applied",
            "/dashboard#dlq": "could not reach",
            "/api/v1/docs": "Transactions",
        }
        for path, text in shown_by_path.items():
            await tab.open("about:blank")
            await tab.open(url + path)
            await tab.until(shows(text))
            await tab.until("document.documentElement.scrollWidth <= 390")
