"""A headless Chromium, driven by its own debugging protocol.

Needs the program and nothing else: the protocol is JSON over a WebSocket. Every wait is for something that the page
shows, with a deadline.
"""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_S = 60.0
_LOOK_S = 0.05
_LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


def program() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


class PageError(AssertionError):
    """The page did not do what it should have done."""


class Tab:
    """One page. `faults` are errors of its scripts, refused loads among them; `dialogs` are messages of alerts."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._numbers = count(1_000)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.faults: list[str] = []
        self.dialogs: list[str] = []
        self.requested: list[str] = []

    async def send(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "sessionId": self._session, "method": method, "params": parameters}
        await self._socket.send_str(msgspec.json.encode(message).decode())
        return await asyncio.wait_for(answered, WAIT_S)

    async def read(self) -> None:
        """Take what the browser says, until it ends."""
        async for raw in self._socket:
            message = msgspec.json.decode(raw.data)
            future = self._waiting.pop(message.get("id"), None)
            if future is not None and not future.done():
                future.set_result(message.get("result", message.get("error")))
            elif "method" in message:
                self._heard(message["method"], message["params"])

    def _heard(self, method: str, parameters: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.faults.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.faults.append(str(parameters["entry"]["text"]))
            case "Network.requestWillBeSent":
                self.requested.append(parameters["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(parameters["message"])
            case _:
                return

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise PageError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        guarded = f"(() => {{ try {{ return {expression} }} catch {{ }} }})()"
        try:
            async with asyncio.timeout(WAIT_S):
                while not (value := await self.value(guarded)):  # noqa: ASYNC110 - the page tells nobody.
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise PageError(f"never true: {expression}\nThe page shows:\n{shown}") from None
        return value

    async def click(self, selector: str) -> None:
        """A real click in the middle of an element."""
        quoted = msgspec.json.encode(selector).decode()
        await self.until(f"document.querySelector({quoted}) && !document.querySelector({quoted}).disabled")
        box = await self.value(
            f"(() => {{ const e = document.querySelector({quoted}); e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        # Both at once: a page that draws itself anew between them has another element there, and nobody was clicked.
        at: dict[str, Any] = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        kinds = ("mousePressed", "mouseReleased")
        await asyncio.gather(*(self.send("Input.dispatchMouseEvent", type=kind, **at) for kind in kinds))

    async def type(self, selector: str, text: str) -> None:
        await self.click(selector)
        await self.send("Input.insertText", text=text)

    async def picture(self) -> bytes:
        """The page as PNG."""
        shot = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A browser with an empty profile below `folder`, and one tab."""
    found = program()
    assert found is not None, "no Chromium is installed"
    process = await asyncio.create_subprocess_exec(
        found,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--remote-debugging-port=0",
        "--window-size=1280,900",
        f"--user-data-dir={folder / 'profile'}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        url = await asyncio.wait_for(_address(process), WAIT_S)
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            tab = Tab(socket, await _attach(socket))
            reading = asyncio.ensure_future(tab.read())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.send(f"{domain}.enable")
                yield tab
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while line := await process.stderr.readline():
        said += line
        if (match := _LISTENING.search(line)) is not None:
            return match[1].decode()
    raise PageError(f"Chromium ended: {said.decode(errors='replace')}")


async def _attach(socket: aiohttp.ClientWebSocketResponse) -> str:
    async def ask(number: int, method: str, **parameters: Any) -> Any:
        await socket.send_str(msgspec.json.encode({"id": number, "method": method, "params": parameters}).decode())
        while True:
            message = msgspec.json.decode((await socket.receive()).data)
            if message.get("id") == number:
                return message["result"]

    target = (await ask(1, "Target.createTarget", url="about:blank"))["targetId"]
    session: str = (await ask(2, "Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
    return session
