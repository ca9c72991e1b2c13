"""A program to be killed: writes batch after batch, flushes in a second thread, and says which batches are flushed.

The rows of a batch follow from its number alone, so whoever finds the folder can tell what it must hold.
"""

import sys
from threading import Thread

from rustqueue.storage.rocks import RocksKV

COUNTER = b"count"
SLOTS_COUNT = 500
# Small, so that the engine also flushes of its own accord, between and during the flushes that are asked for.
WRITE_BUFFER_BYTES = 256 * 1024


def batch_of(number: int) -> dict[bytes, bytes | None]:
    """Forty rows overwritten or deleted, and the batch's own number, as the machine keeps its applied index."""
    stamp = b"%09d" % number
    rows: dict[bytes, bytes | None] = {COUNTER: stamp}
    for step in range(40):
        slot = b"slot/%05d" % ((number * 7 + step * 13) % SLOTS_COUNT)
        rows[slot] = None if (number + step) % 5 == 0 else stamp * 8
    return rows


def main(path: str) -> None:
    kv = RocksKV(path, WRITE_BUFFER_BYTES)
    number = int(kv.get(COUNTER) or 0)

    def flush_and_tell() -> None:
        while True:
            written = number
            kv.flush()
            print(written, flush=True)  # noqa: T201 - the parent reads it

    Thread(target=flush_and_tell, daemon=True).start()
    while True:
        kv.write(batch_of(number + 1))
        number += 1


if __name__ == "__main__":
    main(sys.argv[1])
