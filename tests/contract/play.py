"""Plays cases against a server that is there: asks, names what chance and time made, compares whole bodies."""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from tests.conformance.protocols import HTTP_FORMS, Json, Names, http_form, line_of
from tests.contract import frames
from tests.contract.ears import Events, delivery
from tests.contract.frames import Frame
from tests.contract.table import Case, Http, Line, Question, Seen, Step, Told, Way
from tests.fuzz.shell import Wire
from tests.unit.webhook_receiver import Receiver

# The original has no other way to pull over HTTP.
FORMS: Final = {**HTTP_FORMS, "pull": "GET /queues/{queue}/jobs ?"}
ALL_OF_A_KIND: Final = {
    "list_queues": "queues",
    "schedule_list": "schedules",
    "webhook_list": "webhooks",
    "token_list": "tokens",
    "worker_list": "workers",
}
"""Answers with everything that the server has: only what belongs to the case is compared."""
ANSWER_S: Final = 60.0
UNTIL_S: Final = 60.0
PAUSE_S: Final = 0.05
AT_A_TIME: Final = 8
OWN: Final = re.compile(r"\$(?!ref)(?=\w)")


class Place(NamedTuple):
    """Where clients connect."""

    http_port: int
    tcp_port: int


class Heard(NamedTuple):
    status: int | None
    body: Any


@dataclass
class Play:
    """A case on its way over one protocol. It remembers names and position, so that it goes on after a restart."""

    name: str
    case: Case
    way: Way
    only_http: frozenset[str] = frozenset()
    """Verbs that this server does not know over TCP; one that lacks some reads options of a push only where they are
    nested (decisions A1).
    """
    receiver: Receiver | None = None
    position: int = 0
    failure: str = ""

    def __post_init__(self) -> None:
        self._names = Names()
        self._scope = f"{re.sub('[^a-z0-9]+', '-', self.name.lower())}-{self.way}."

    @property
    def rates(self) -> dict[str, tuple[float, int]]:
        """Limits that the server's configuration has to hold for the queues of this play."""
        return {self.meant(queue): rate for queue, rate in self.case.rates.items()}

    async def go_on(self, place: Place, judge: "Judge", end: int | None = None) -> None:
        """Play the steps up to `end`; the first answer that is wrong ends it."""
        async with AsyncExitStack() as stack:
            mouth = Mouth(place, stack, self)
            while not self.failure and self.position < (len(self.case.steps) if end is None else end):
                step = self.case.steps[self.position]
                try:
                    self.failure = await self._played(step, mouth, judge)
                except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                    self.failure = f"no answer: {error!r}"
                if self.failure:
                    self.failure = f"{self.name} ({self.way}), step {self.position + 1} {step.ask}: {self.failure}"
                self.position += 1

    async def _played(self, step: Step, mouth: "Mouth", judge: "Judge") -> str:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UNTIL_S
        while True:
            heard = await mouth.ask(step.ask)
            wrong = judge(step, heard, self.way)
            if not wrong or not step.until or loop.time() > deadline:
                return wrong
            await asyncio.sleep(PAUSE_S)

    def meant(self, value: Any) -> Any:
        return _mapped(self._names.meant(value), self._own)

    @property
    def receiver_path(self) -> str:
        return f"/{self._scope}in"

    @property
    def receiver_url(self) -> str:
        return "" if self.receiver is None else self.receiver.url(self.receiver_path)

    def is_own(self, queue: str) -> bool:
        return queue.startswith(self._scope)

    def _own(self, text: str) -> str:
        return OWN.sub(self._scope, text.replace("$RECEIVER", self.receiver_url))

    def spelled(self, verb: str, fields: Json) -> Json:
        if not self.only_http or verb not in {"push", "push_batch"}:
            return fields
        if verb == "push_batch":
            return {**fields, "jobs": [_nested(item, {"name", "data"}) for item in fields["jobs"]]}
        return _nested(fields, {"queue", "name", "data"})

    def told(self, verb: str, body: Any) -> Any:
        own = body
        if verb in ALL_OF_A_KIND and isinstance(body, dict) and ALL_OF_A_KIND[verb] in body:
            listed = [item for item in body[ALL_OF_A_KIND[verb]] if self._scope in str(item)]
            own = {**body, ALL_OF_A_KIND[verb]: listed}
        return _mapped(self._names.told(own), self._shown)

    def _shown(self, text: str) -> str:
        known = text.replace(self.receiver_url, "$RECEIVER") if self.receiver is not None else text
        return known.replace(self._scope, "$")


Judge = Callable[[Step, Heard, Way], str]
"""Says what is wrong with an answer, or nothing."""


def ours(step: Step, heard: Heard, way: Way) -> str:
    """Whole bodies, and the status where there is one."""
    status = step.status if heard.status is None else heard.status
    if (status, heard.body) == (step.status, step.body):
        return ""
    apart = "\n   ".join(_apart(step.body, heard.body))
    return f"expected {step.status}, heard {status}\n   {apart}"


def _apart(expected: Any, heard: Any, path: str = "") -> list[str]:
    if isinstance(expected, dict) and isinstance(heard, dict):
        keys = [*expected, *(key for key in heard if key not in expected)]
        return [one for key in keys for one in _apart(expected.get(key, "-"), heard.get(key, "-"), f"{path}.{key}")]
    if isinstance(expected, list) and isinstance(heard, list) and len(expected) == len(heard):
        both = zip(expected, heard, strict=True)
        return [one for index, pair in enumerate(both) for one in _apart(*pair, f"{path}[{index}]")]
    return [] if expected == heard else [f"{path or 'body'}: expected {expected!r}, heard {heard!r}"]


class Mouth:
    """The connections of one play, opened when the first question needs them."""

    def __init__(self, place: Place, stack: AsyncExitStack, play: Play) -> None:
        self._place = place
        self._stack = stack
        self._play = play
        self._wire: Wire | None = None
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._events: Events | None = None

    async def ask(self, asked: Question) -> Heard:
        async with asyncio.timeout(ANSWER_S):
            if isinstance(asked, Told):
                return Heard(None, self._play.told("", self._deliveries()))
            if isinstance(asked, Seen):
                return Heard(None, self._play.told("", await self._seen()))
            if isinstance(asked, Http):
                target = self._play.meant(asked.target)
                heard = await self._http(asked.method, target, self._bytes(asked.body), asked.headers)
                return Heard(heard.status, self._play.told("", heard.body))
            if isinstance(asked, Frame):
                return Heard(None, self._play.told("", await self._framed(asked)))
            if isinstance(asked, Line):
                return Heard(None, self._play.told("", (await self._tcp(self._bytes(asked.text) or b"")).body))
            fields = self._play.meant(asked.fields)
            if self._play.way == "http" or asked.verb in self._play.only_http:
                method, target, body, headers = http_form(asked.verb, fields, FORMS)
                heard = await self._http(method, f"/api/v1{target}", body, headers)
            else:
                heard = await self._tcp(line_of(asked.verb, self._play.spelled(asked.verb, fields)))
                if asked.verb in LINES_SAY_NOT_FOUND and heard.body["ok"] is False:
                    heard.body["error"] |= LINES_SAY_NOT_FOUND[asked.verb](heard.body["error"], fields)
            return Heard(heard.status, self._play.told(asked.verb, heard.body))

    def _deliveries(self) -> list[Json]:
        receiver, path = self._play.receiver, self._play.receiver_path
        return [delivery(call) for call in (receiver.heard if receiver is not None else ()) if call.target == path]

    async def _seen(self) -> list[Json]:
        if self._events is None:
            self._events = await Events.followed(self._place.http_port)
            self._stack.push_async_callback(self._events.close)
        return [event for event in self._events.heard if self._play.is_own(event["queue"])]

    def _bytes(self, body: Any) -> bytes | None:
        return body if isinstance(body, bytes | None) else msgspec.json.encode(self._play.meant(body))

    async def _http(self, method: str, target: str, body: bytes | None, headers: tuple[tuple[str, str], ...]) -> Heard:
        if self._wire is None:
            self._wire = Wire(*await asyncio.open_connection("127.0.0.1", self._place.http_port, limit=1 << 26))
            self._stack.push_async_callback(self._wire.close)
        answer = await self._wire.ask(method, target, body, headers)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        whole = is_json and method != "HEAD"
        return Heard(answer.status, msgspec.json.decode(answer.body) if whole else answer.body.decode())

    async def _framed(self, frame: Frame) -> Json:
        meant = frame._replace(queue=self._play.meant(frame.queue), items=self._play.meant(list(frame.items)))
        reader, writer = await self._streams()
        writer.write(frames.written(meant))
        return await frames.read(frame, reader)

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._line is None:
            self._line = await asyncio.open_connection("127.0.0.1", self._place.tcp_port, limit=1 << 26)
            self._stack.callback(self._line[1].close)
        return self._line

    async def _tcp(self, text: bytes) -> Heard:
        reader, writer = await self._streams()
        try:
            writer.write(text + b"\n")
            answer = await reader.readline()
        except ConnectionError:
            answer = b""
        return Heard(None, msgspec.json.decode(answer) if answer else None)


def _nested(fields: Json, plain: set[str]) -> Json:
    options = {key: value for key, value in fields.items() if key not in plain}
    return {**{key: value for key, value in fields.items() if key in plain}, "options": options}


def _of_a_get(error: Json, fields: Json) -> Json:
    return {"code": {"NOT_FOUND": "JOB_NOT_FOUND", "JOB_NOT_FOUND": "wrong on TCP"}.get(error["code"], error["code"])}


def _of_a_schedule(error: Json, fields: Json) -> Json:
    name = fields["name"]
    if (error["code"], error["message"]) != ("NOT_FOUND", f"Schedule '{name}' not found"):
        return {"code": "wrong on TCP"}
    return {"code": "SCHEDULE_NOT_FOUND", "message": f"Schedule not found: {name}"}


LINES_SAY_NOT_FOUND: Final = {"get": _of_a_get, "schedule_get": _of_a_schedule}
"""The two answers that differ between the protocols (contract A7, decisions A29). Anything else stays wrong."""


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(member, change) for key, member in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value


def plays_of(
    cases: dict[str, Case], ways: Sequence[str], receiver: Receiver, only_http: frozenset[str] = frozenset()
) -> list[Play]:
    """Every case in each of the ways that it has among these."""
    named = [(name, case, way) for name, case in cases.items() for way in case.ways if way in ways]
    return [Play(name, case, way, only_http, receiver) for name, case, way in named]


async def played(plays: Iterable[tuple[Play, int | None]], places: Sequence[Place], judge: Judge = ours) -> None:
    """Some at a time, since they have nothing in common but the server. The places take turns."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(play: Play, place: Place, end: int | None) -> None:
        async with turns:
            await play.go_on(place, judge, end)

    async with asyncio.TaskGroup() as group:
        for number, (play, end) in enumerate(plays):
            group.create_task(one(play, places[number % len(places)], end))
