"""`/livez`, `/readyz` and `/metrics` on a port of their own, served by the standby too."""

from collections.abc import Callable

from aiohttp import web

from rustqueue_operator.metrics import CONTENT_TYPE, Metrics


class Probes:
    """`alive` and `ready` answer None if so, otherwise what is wrong."""

    def __init__(self, metrics: Metrics, alive: Callable[[], str | None], ready: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._show_metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        (address, *_) = self._runner.addresses
        self.port = address[1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return _said(self._alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _said(self._ready())

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _said(problem: str | None) -> web.Response:
    return web.Response(status=200 if problem is None else 503, text=f"{problem or 'ok'}\n")
