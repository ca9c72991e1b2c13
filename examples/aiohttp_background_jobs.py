"""A web application that does its work in the background, without another process: the queue lives inside it.

python examples/aiohttp_background_jobs.py [PORT]
curl -X POST localhost:8080/reports -d '{"of": "sales"}'
curl localhost:8080/reports/JOB_ID
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from aiohttp import web

from rustqueue import RustQueue
from rustqueue.client import RunningJob

QUEUE = web.AppKey("queue", RustQueue)


async def background(app: web.Application) -> AsyncIterator[None]:
    """The queue and its worker live as long as the application."""
    async with RustQueue.rocks(app[FOLDER]).build() as queue:
        app[QUEUE] = queue
        worker = queue.worker("reports", concurrency=2, wait_ms=500)

        @worker.handler("report")
        def report(job: RunningJob) -> dict[str, object]:
            """Slow work belongs here; a plain function runs in a thread."""
            job.progress(50)
            return {"of": job.data["of"], "rows": len(job.data["of"])}

        working = asyncio.create_task(queue.run_worker(worker))
        yield
        worker.drain()
        await working


FOLDER = web.AppKey("folder", str)


async def ask(request: web.Request) -> web.Response:
    """When this answers, the job is on the disk: a crash does not lose it."""
    job_id = await request.app[QUEUE].push("reports", "report", await request.json())
    return web.json_response({"id": job_id}, status=202)


async def look(request: web.Request) -> web.Response:
    job = await request.app[QUEUE].get_job(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound
    return web.json_response({"state": job.state, "result": job.result})


def application(folder: str) -> web.Application:
    app = web.Application()
    app[FOLDER] = folder
    app.cleanup_ctx.append(background)
    app.router.add_post("/reports", ask)
    app.router.add_get("/reports/{id}", look)
    return app


if __name__ == "__main__":
    web.run_app(application("./reports-data"), port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
