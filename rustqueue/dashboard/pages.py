"""Paths to files, with the headers that guard them.

A page may load scripts, styles and pictures of this server only, talk to this server only, and stand in no frame.
"""

from importlib import resources
from typing import Final

from msgspec import Struct

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDED: Final = (
    f"Content-Security-Policy: {_POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
)
_MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}
_DOCS: Final = "/api/v1/docs"
_JOBS_DOCS: Final = "/docs"
_DOCS_FILES: Final = ("style.css", "docs.js", "elements.js", "mark.svg")
_PREFIX: Final = b"/dashboard"


class Page(Struct, frozen=True):
    """A file ready to be sent."""

    body: bytes
    media_type: str
    headers: str = _GUARDED


def pages_of(*, dashboard: bool, prefix: str) -> dict[str, Page]:
    """What is served at which path. `prefix` is where the dashboard stands, if it does."""
    prefix = prefix.rstrip("/")
    found = {
        "/": _page("landing.html"),
        "/favicon.ico": _page("mark.svg"),
        "/api/v1/openapi.json": _page("openapi.json"),
        _DOCS: _page("docs.html"),
        f"{_DOCS}/": _page("docs.html"),
    }
    found |= {f"{_DOCS}/{name}": _page(name) for name in (*_DOCS_FILES, "landing.js")}
    if dashboard:
        names = ("style.css", "dashboard.js", "views.js", "server.js", "elements.js", "mark.svg")
        found |= {f"{prefix}/{name}": _page(name) for name in names}
        found |= {path: _page("dashboard.html") for path in (prefix, f"{prefix}/")}
    own = {path: _moved(page, prefix if dashboard else _DOCS) for path, page in found.items()}
    return {**jobs_pages(), **own}


def jobs_pages() -> dict[str, Page]:
    """The description of the second system's routes, and the page that shows it."""
    found = {path: _page("docs.html") for path in (_JOBS_DOCS, f"{_JOBS_DOCS}/")}
    found["/api-docs/openapi.json"] = _page("jobs-openapi.json")
    found |= {f"{_JOBS_DOCS}/{name}": _page(name) for name in _DOCS_FILES}
    return {path: _about_jobs(page) for path, page in found.items()}


def _about_jobs(page: Page) -> Page:
    """The same page tells about another description."""
    body = page.body.replace(b"/api/v1/openapi.json", b"/api-docs/openapi.json")
    return Page(body.replace(f"{_DOCS}/".encode(), f"{_JOBS_DOCS}/".encode()), page.media_type)


def _page(name: str) -> Page:
    body = resources.files(__package__).joinpath("static", name).read_bytes()
    return Page(body, _MEDIA[name.rpartition(".")[2]])


def _moved(page: Page, prefix: str) -> Page:
    """Links to the dashboard lead to where it stands; without one they lead to the description of the API."""
    if not page.media_type.startswith("text/html"):
        return page
    body = page.body.replace(b'"' + _PREFIX, b'"' + prefix.encode())
    return Page(body, page.media_type)
