"""A program for a small disk of its own: fills it, frees it, and tells as JSON what the store did."""

import json
import os
import sys
import time
from itertools import count
from pathlib import Path
from threading import Event

from rustqueue.storage import StoreFullError
from rustqueue.storage.rocks import RocksKV

MIB = 1024 * 1024
RESUMED_WITHIN_S = 60


def batch_of(number: int) -> dict[bytes, bytes | None]:
    return {b"%05d" % (number * 20 + item): os.urandom(400) for item in range(20)}


def main(disk: Path) -> None:
    kv = RocksKV(str(disk / "store"), write_buffer_bytes=MIB)
    model: dict[bytes, bytes | None] = {}
    filler = disk / "filler"
    status = os.statvfs(disk)
    filler.write_bytes(bytes(status.f_bavail * status.f_bsize - 2 * MIB))
    report: dict[str, object] = {}

    batch = batch_of(0)
    try:
        for number in count():
            batch = batch_of(number)
            kv.write(batch)
            model |= batch
    except StoreFullError:
        report["refused"] = "write"
    report["read"] = kv.scan(b"", b"\xff", 99_999) == sorted(model.items()) and kv.get(b"00000") == model[b"00000"]
    try:
        kv.flush()
    except StoreFullError:
        report["flush"] = "refused"

    filler.unlink()
    freed_s = time.monotonic()
    pause = Event()
    while time.monotonic() - freed_s < RESUMED_WITHIN_S:
        try:
            # Asking for flushes while the engine has not resumed must not keep it from resuming.
            kv.flush()
            break
        except StoreFullError:
            pause.wait(0.02)
    kv.write(batch)
    model |= batch
    kv.flush()
    report["resumed"] = True
    kv.close()
    kv = RocksKV(str(disk / "store"))
    report["kept"] = kv.scan(b"", b"\xff", 99_999) == sorted(model.items())
    kv.close()
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
