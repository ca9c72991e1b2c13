"""What a node does for the second system's clients: a port of their own, and kinds from files.

It must not know requests. Invariant: a kind whose schema cannot be read or is none stops the start: jobs must not come
in unchecked because of a misspelled path.
"""

from collections.abc import Iterable

from rustqueue.api.app import HttpShell
from rustqueue.api.ports import Door, HttpOptions, Services
from rustqueue.dashboard import jobs_pages
from rustqueue.gateway.schemas import Schema
from rustqueue.model import limits, wire
from rustqueue.model.errors import ApiError
from rustqueue.settings import Settings


class KindError(Exception):
    """A kind of the configuration cannot be used. The message says which and why."""


def kinds_of(texts: Iterable[str]) -> dict[str, bytes]:
    """Schemas by kind, from `KIND=FILE`. Raises `KindError`."""
    found: dict[str, bytes] = {}
    for text in texts:
        kind, _, path = text.partition("=")
        try:
            wire.check_name(kind, "kind", limits.QUEUE_NAME_BYTES_MAX)
            with open(path, "rb") as file:
                schema = file.read(limits.SCHEMA_BYTES_MAX + 1)
            wire.check_size(schema, "payload_schema", limits.SCHEMA_BYTES_MAX)
            Schema(schema)
        except OSError as error:
            raise KindError(f"compat.kinds: {kind}: cannot read {path}: {error.strerror}") from error
        except ApiError as error:
            raise KindError(f"compat.kinds: {kind}: {error.message}") from error
        except ValueError as error:
            raise KindError(f"compat.kinds: {kind}: {path} is not JSON: {error}") from error
        found[kind] = schema
    return found


def jobs_shell(settings: Settings, gateway: Door, services: Services, options: HttpOptions) -> HttpShell | None:
    """The second system's routes on a port of their own, if one is set. `options` are those of the other port."""
    compat = settings.compat
    if compat.jobs_port is None:
        return None
    own = options.for_jobs(compat.jobs_host or options.host, compat.jobs_port, jobs_pages())
    return HttpShell(gateway, services, own)
