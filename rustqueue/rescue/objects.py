"""Backups in an object store that speaks S3. The only module that knows `obstore`.

Address, region and keys come from the environment, in the variables that every tool for S3 reads (`AWS_ENDPOINT_URL`,
`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, web identities too). It must not know nodes. Invariants: an
object appears only when all of it was sent; nothing is held in memory but a few parts.
"""

import html
import io
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import obstore
from msgspec import Struct
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, S3Store

from rustqueue.model.cluster.backups import BackupManifest
from rustqueue.rescue.archive import ReadPiece, archive_of, read_archive
from rustqueue.rescue.shelves import Place, older_than

T = TypeVar("T")
Store = S3Store | MemoryStore

_PART_BYTES: Final = 16 * 1024 * 1024
_READ_BYTES: Final = 1024 * 1024
_PARTS_AT_ONCE: Final = 4
_PARTS_MAX: Final = 9_000
"""S3 takes 10,000 parts of an object; larger backups travel in larger parts."""
_ANSWER: Final = re.compile(r"<Code>(\w+)</Code>\s*<Message>([^<]*)</Message>")
_TRIES: Final = 5
_PATIENCE: Final = timedelta(minutes=1)


class ObjectStoreError(OSError):
    """The store refused, or did not answer."""


class ObjectPlace(Struct, frozen=True):
    store: Store
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def write(self, manifest: BackupManifest, read: ReadPiece) -> None:
        part_bytes = max(_PART_BYTES, manifest.size_bytes // _PARTS_MAX)
        pieces = archive_of(manifest, read)
        _told(
            lambda: obstore.put(
                self.store, self.key, pieces,
                use_multipart=True, chunk_size=part_bytes, max_concurrency=_PARTS_AT_ONCE,
            )
        )  # fmt: skip

    def read(self, into: Path | None = None) -> BackupManifest:
        return read_archive(self, _Reader(self.store, self.key), into)


class ObjectShelf(Struct, frozen=True):
    """`prefix` ends with a slash, or is empty."""

    store: Store
    bucket: str
    prefix: str

    def place(self, name: str) -> Place:
        return ObjectPlace(self.store, self.bucket, self.prefix + name)

    def thin_out(self, keep: int) -> list[str]:
        found = _told(lambda: obstore.list_with_delimiter(self.store, self.prefix or None))["objects"]
        old = older_than(keep, (each["path"].rpartition("/")[2] for each in found))
        _told(lambda: obstore.delete(self.store, [self.prefix + name for name in old]))
        return [str(self.place(name)) for name in old]


class _Reader:
    """An object as `tarfile` reads it, once from its begin to its end."""

    def __init__(self, store: Store, key: str) -> None:
        self._pieces = iter(_told(lambda: obstore.get(store, key)).stream(min_chunk_size=_READ_BYTES))
        self._piece = io.BytesIO()

    def read(self, count_bytes: int, /) -> bytes:
        data = self._piece.read(count_bytes)
        while len(data) < count_bytes:
            piece = _told(lambda: next(self._pieces, None))
            if piece is None:
                break
            self._piece = io.BytesIO(piece)
            data += self._piece.read(count_bytes - len(data))
        return data


def store_of(bucket: str) -> Store:
    """As the environment says."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    # Whoever writes http:// has decided that.
    plain = address.startswith("http://")
    return _told(
        lambda: S3Store(
            bucket,
            client_options={"allow_http": plain},
            retry_config={"max_retries": _TRIES, "retry_timeout": _PATIENCE},
        )
    )


def _told(ask: Callable[[], T]) -> T:
    """What the library says of a fault goes on for a page; what was wrong stands in its first line or in the answer."""
    try:
        return ask()
    except (BaseError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        if (answer := _ANSWER.search(str(error))) is not None:
            first = f"{first.partition(': Error performing')[0]}: {answer[1]}: {html.unescape(answer[2])}"
        raise ObjectStoreError(first) from error
