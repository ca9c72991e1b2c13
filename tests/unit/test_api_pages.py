"""The pages for people, as a client gets them; a browser opens them in tests/browser."""

import re
from pathlib import Path

import pytest

import rustqueue.dashboard
from rustqueue.api.ports import HttpOptions
from rustqueue.dashboard import pages_of
from tests.fuzz.shell import running_shell

STATIC = Path(rustqueue.dashboard.__file__).parent / "static"
PAGES = pages_of(dashboard=True, prefix="/dashboard")
OPTIONS = HttpOptions(host="127.0.0.1", port=0, pages=PAGES)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def test_a_page_comes_with_what_guards_it() -> None:
    async with running_shell(OPTIONS, tokens=("t",)) as at:
        answer = await at.ask("GET", "/dashboard")
        del answer.headers["date"], answer.headers["x-request-id"]
        assert answer.status == 200
        assert answer.body == (STATIC / "dashboard.html").read_bytes()
        assert answer.headers == {
            "content-type": "text/html; charset=utf-8",
            "content-length": str(len(answer.body)),
            "cache-control": "no-store",
            "content-security-policy": POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        }


async def test_pages_are_read_and_nothing_else() -> None:
    async with running_shell(OPTIONS) as at:
        head = await at.ask("HEAD", "/api/v1/openapi.json")
        assert (head.status, head.headers["content-type"], head.body) == (200, "application/json", b"")
        wrong = await at.ask("POST", "/dashboard", b"{}")
        assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")
        asked = await at.ask("OPTIONS", "/dashboard")
        assert (asked.status, asked.headers["allow"]) == (204, "GET, HEAD")
        for path in ("/dashboard/none.js", "/dashboard/../pages.py", "/static/style.css"):
            assert (await at.ask("GET", path)).code == "NOT_FOUND"


async def test_a_foreign_host_name_gets_no_page() -> None:
    options = HttpOptions(host="127.0.0.1", port=0, pages=PAGES, allowed_hosts=("queue.example",))
    async with running_shell(options) as at:
        assert (await at.ask("GET", "/dashboard")).status == 421


def test_the_dashboard_stands_where_it_is_told() -> None:
    moved = pages_of(dashboard=True, prefix="/ops/queue/")
    assert "/dashboard" not in moved
    assert b'src="/ops/queue/dashboard.js"' in moved["/ops/queue"].body
    assert b'href="/ops/queue"' in moved["/"].body


def test_without_a_dashboard_the_other_pages_stay() -> None:
    left = pages_of(dashboard=False, prefix="/dashboard")
    assert [path for path in left if path.startswith("/dashboard")] == []
    assert b"/dashboard" not in left["/"].body
    assert {"/", "/api/v1/docs", "/api/v1/openapi.json"} <= left.keys()


def test_every_file_is_served_and_every_link_leads_to_one() -> None:
    pages = pages_of(dashboard=True, prefix="/dashboard")
    # The page below /docs is the other one about another description.
    as_they_are = {page.body for path, page in pages.items() if not path.startswith("/docs")}
    assert as_they_are == {file.read_bytes() for file in STATIC.iterdir()}
    for path, page in PAGES.items():
        if page.media_type.startswith("text/html"):
            links = set(re.findall(r'(?:src|href)="(/[^"]*)"', page.body.decode()))
            known = PAGES.keys() | {"/api/v1/health", "/readyz", "/api/v1/metrics/prometheus"}
            assert links - known == set(), path
        if page.media_type.startswith("text/javascript"):
            folder = path.rpartition("/")[0]
            modules = re.findall(r'from "\./([\w.]+)"', page.body.decode())
            assert [name for name in modules if f"{folder}/{name}" not in PAGES] == []


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.html")), ids=lambda file: file.name)
def test_no_script_or_style_stands_in_a_page(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=|javascript:|https?://(?!localhost)", text) == []


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.js")), ids=lambda file: file.name)
def test_scripts_make_no_markup_out_of_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|localStorage|cookie", text
    )
    assert found == []
