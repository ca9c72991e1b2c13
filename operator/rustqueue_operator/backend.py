"""The queue's HTTP API as the operator needs it: look, put, delete, for every kind alike. One try each: when to try
again is decided elsewhere.

Not built on `rustqueue.client`, which sends again by itself and hides what is here the whole point: what exactly the
cluster answered.
"""

import ssl
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from msgspec import Struct

from rustqueue_operator import failpoints
from rustqueue_operator.kinds.table import KINDS, KindName
from rustqueue_operator.planning.values import Absent, Record, Refusal

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)
_ANSWER_LETTERS_MAX: Final = 300


class Connection(Struct, frozen=True):
    """How a cluster is reached. Equal values mean that nothing has changed."""

    address: str
    token: str | None = None
    ca: str | None = None

    def context(self) -> ssl.SSLContext | bool:
        if not self.address.startswith("https:"):
            return True
        return ssl.create_default_context(cadata=self.ca)


class NoAnswer(Exception):
    """The cluster did not answer, or not like itself; nothing is known about what happened."""


class Backend:
    """One cluster."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def identity(self) -> str | None:
        """The cluster's id, where it has one. Raises `NoAnswer`."""
        return (await self.cluster()).get("cluster_id")

    async def cluster(self) -> dict[str, Any]:
        """Who belongs to the cluster and who leads; empty where it does not say. Raises `NoAnswer`."""
        status, answer = await self._call("GET", "/cluster")
        return answer if status == 200 else {}

    async def remove_member(self, member: str) -> Refusal | None:
        """None: it is no member any more. Raises `NoAnswer`."""
        status, answer = await self._call("DELETE", f"/cluster/members/{quote(member, safe='')}")
        refusal = None if status == 200 else _refusal(status, answer)
        return None if refusal is not None and refusal.code == "MEMBER_UNKNOWN" else refusal

    async def look(self, kind: KindName, name: str) -> Record | Absent | Refusal:
        """What is there. Raises `NoAnswer`."""
        status, answer = await self._call("GET", _path(kind, name))
        if status == 404:
            error = answer.get("error") or {}
            # A server of before this kind, or without it, answers so for every name.
            return Absent() if error.get("code") != "NOT_FOUND" else _refusal(status, answer)
        if status != 200:
            return _refusal(status, answer)
        return record(kind, answer)

    async def put(self, kind: KindName, name: str, body: dict[str, Any], if_match: int) -> Refusal | None:
        """None: done. Raises `NoAnswer`."""
        status, answer = await self._call("PUT", _path(kind, name), body, {"If-Match": str(if_match)})
        return None if status in (200, 201) else _refusal(status, answer)

    async def delete(self, kind: KindName, name: str, if_owner: str, force: bool) -> Refusal | None:
        """None: done, also if somebody was quicker. Raises `NoAnswer`."""
        query = "?force=true" if force else ""
        status, answer = await self._call("DELETE", _path(kind, name) + query, None, {"If-Owner": if_owner})
        return None if status in (200, 202, 204, 404) else _refusal(status, answer)

    async def leases(self) -> dict[str, int]:
        """How many jobs each worker holds. Raises `NoAnswer`, also where a cluster does not say."""
        held: dict[str, int] = {}
        cursor = ""
        while True:
            status, answer = await self._call("GET", f"/workers?limit=1000{cursor}")
            if status != 200:
                raise NoAnswer(f"{self.connection.address}: no list of workers, {_refusal(status, answer).message}")
            held.update((worker["worker_id"], worker["leases"]) for worker in answer["workers"])
            if answer.get("next_cursor") is None:
                return held
            cursor = f"&cursor={quote(answer['next_cursor'], safe='')}"

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        if self._closed:
            raise NoAnswer(f"{self.connection.address}: is not asked any more")
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self.connection.context(), limit=8)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        sent = dict(headers or {})
        if self.connection.token is not None:
            sent["Authorization"] = f"Bearer {self.connection.token}"
        url = f"{self.connection.address.rstrip('/')}/api/v1{path}"
        if method != "GET":
            failpoints.reached("before", failpoints.cluster_point(method, path))
        try:
            async with self._session.request(method, url, json=body, headers=sent, allow_redirects=False) as response:
                answer = await response.json(content_type=None)
                status = response.status
        except TimeoutError as error:
            raise NoAnswer(f"{self.connection.address}: no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # Among them a connection that was closed under us, because the cluster has another address now.
            raise NoAnswer(f"{self.connection.address}: {type(error).__name__} {error}") from error
        if method != "GET":
            failpoints.reached("after", failpoints.cluster_point(method, path))
        if not isinstance(answer, dict) or "ok" not in answer:
            raise NoAnswer(f"{self.connection.address}: HTTP {status} that is not from RustQueue")
        return status, answer


def record(kind: KindName, answer: dict[str, Any]) -> Record:
    """What a GET answered, in the planner's words."""
    known = KINDS[kind]
    shown = answer if known.record_key is None else answer.get(known.record_key) or {}
    owner = shown.get("owner") or {}
    return Record(
        settings=known.settings_of(answer),
        owner_uid=owner.get("uid"),
        owner_ref=owner.get("ref"),
        revision=int(shown.get("revision") or 0),
        activity=known.activity_of(answer),
    )


def _path(kind: KindName, name: str) -> str:
    return f"/{KINDS[kind].plural}/{quote(name, safe='')}"


def _refusal(status: int, answer: dict[str, Any]) -> Refusal:
    error = answer.get("error") or {}
    code, message = str(error.get("code", f"HTTP_{status}")), str(error.get("message", ""))
    counts = (error.get("details") or {}).get("counts")
    if isinstance(counts, dict):
        told = ", ".join(f"{state} {number}" for state, number in counts.items() if number)
        message = f"{message} ({told})" if told else message
    passing = status in (401, 403, 412, 429, 500) or status >= 502 or status == 503
    return Refusal(code, message[:_ANSWER_LETTERS_MAX], passing)
