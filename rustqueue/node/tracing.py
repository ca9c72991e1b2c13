"""Traces of a node: loaded only where the configuration names a collector, since the library is an extra."""

from typing import TYPE_CHECKING

from rustqueue.settings import TracingSettings

if TYPE_CHECKING:
    from rustqueue.effects.traces import RequestSpans


class TracingMissing(Exception):
    """The configuration asks for traces, and what makes them is not installed."""


def request_spans(settings: TracingSettings, node_id: str) -> "RequestSpans | None":
    """None without a collector. Raises `TracingMissing`."""
    if not settings.endpoint:
        return None
    try:
        from rustqueue.effects.traces import RequestSpans
    except ModuleNotFoundError as error:
        raise TracingMissing(
            f"tracing.endpoint: there is no package '{error.name}': pip install 'rustqueue[tracing]'"
        ) from error
    return RequestSpans(settings, node_id)
