"""The table of the second system's routes. They stand at the root, beside our own below `/api/v1`."""

from collections.abc import Iterable
from typing import Final

from rustqueue.api.routes import Body, Route, Source

JOBS: Final = "/jobs"
HEALTH: Final = "/health"
METRICS: Final = "/metrics"

ROUTES: Final = (
    Route("POST", JOBS, "job_create", body=Body.OBJECT, source=Source.JOBS),
    Route("GET", JOBS, "job_list", body=Body.NONE, source=Source.JOBS),
    Route("GET", f"{JOBS}/{{id}}", "job_get", body=Body.NONE, source=Source.JOBS),
    Route("POST", f"{JOBS}/{{id}}/cancel", "job_cancel", source=Source.JOBS),
    Route("GET", HEALTH, "health", body=Body.NONE, source=Source.JOBS_HEALTH),
    Route("GET", METRICS, "metrics", body=Body.NONE, source=Source.METRICS),
)


def beside(others: Iterable[Route], with_metrics: bool) -> tuple[Route, ...]:
    """Those of the table that another route, whose path somebody chose, does not stand in the way of."""
    taken = {(route.method, route.path) for route in others}
    free = [route for route in ROUTES if (route.method, route.path) not in taken]
    return tuple(route for route in free if with_metrics or route.source is not Source.METRICS)


_AFTER_JOBS: Final = ("", "/", "?")


def speaks(target: str) -> bool:
    """Whether mistakes at this target are told as the second system tells them."""
    return target.startswith(JOBS) and target[len(JOBS) : len(JOBS) + 1] in _AFTER_JOBS
