"""What an address of backups names: a path, or a bucket and a key in an object store, like `s3://BUCKET/KEY`.

It must not know how backups are kept there.
"""

from pathlib import Path
from typing import Final

from rustqueue.rescue.shelves import FilePlace, FolderShelf, Place, Shelf

_SCHEME: Final = "s3://"


class PlaceError(Exception):
    """No backup can be kept there. The message says why."""


def shelf_at(text: str) -> Shelf | None:
    """None: it names one backup, not a shelf. Raises `PlaceError`."""
    if "://" not in text and text.endswith("/") and not Path(text).is_dir():
        raise PlaceError(f"there is no folder {text}: make it first")
    if "://" not in text:
        return FolderShelf(Path(text)) if Path(text).is_dir() else None
    return _object_shelf(*_parts(text)) if text.endswith("/") else None


def place_at(text: str) -> Place:
    """Raises `PlaceError`."""
    if "://" not in text:
        return FilePlace(Path(text))
    bucket, key = _parts(text)
    if not key or key.endswith("/"):
        raise PlaceError(f"{text}: names no backup: a key is missing behind the bucket")
    return _object_shelf(bucket, "").place(key)


def _parts(text: str) -> tuple[str, str]:
    bucket, _, key = text.removeprefix(_SCHEME).partition("/")
    if not text.startswith(_SCHEME) or not bucket:
        raise PlaceError(f"{text}: is neither a path nor {_SCHEME}BUCKET/KEY")
    return bucket, key


def _object_shelf(bucket: str, prefix: str) -> Shelf:
    """Most have no use for the library behind it, so it is an extra."""
    try:
        from rustqueue.rescue.objects import ObjectShelf, store_of
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise PlaceError(f"{_SCHEME}: obstore is not installed: pip install 'rustqueue[objects]'") from None
    return ObjectShelf(store_of(bucket), bucket, prefix)
