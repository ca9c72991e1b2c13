"""What one row costs in each store: `python -m benchmarks.storage_micro [--backend rocks|memory] [--rows N]`.

It knows the KV port and nothing of jobs. Each figure is CPU time of the calling thread, the least of several passes,
since that is what the event loop pays; the last lines tell what the engine's own threads, memory and disk cost on
top.
"""

import argparse
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import get_args

from rustqueue.machine.kv import KV
from rustqueue.storage import Backend, open_store

VALUE_BYTES = 200
BATCH_ROWS = 100
PASSES = 5
END = b"j\x01"


def key_of(number: int) -> bytes:
    return b"j\x00" + number.to_bytes(16, "big")


def value_of(number: int, noise: bytes) -> bytes:
    """Half of it can be compressed, as of a job that is JSON."""
    start = number * 97 % (len(noise) - VALUE_BYTES)
    text = b'{"queue":"emails","to":"user%08d@example.com","n":%d,"x":"' % (number, number)
    return (text + noise[start : start + VALUE_BYTES])[:VALUE_BYTES]


def batches(start: int, count: int, noise: bytes) -> list[dict[bytes, bytes | None]]:
    return [
        {key_of(number): value_of(number, noise) for number in range(first, first + BATCH_ROWS)}
        for first in range(start, start + count, BATCH_ROWS)
    ]


def least_us(units: int, passes: Sequence[Callable[[], object]]) -> float:
    """CPU of this thread for each unit in the cheapest pass."""
    spent = []
    for act in passes:
        began = time.thread_time()
        act()
        spent.append(time.thread_time() - began)
    return min(spent) / units * 1e6


def write_all(kv: KV, rows: list[dict[bytes, bytes | None]]) -> None:
    for batch in rows:
        kv.write(batch)


def scan_all(kv: KV, starts: list[bytes], limit: int) -> None:
    for key in starts:
        kv.scan(key, END, limit)


def measure(kv: KV, rows_count: int) -> Iterator[tuple[str, float, str]]:
    """Each case as (name, microseconds, per what), in an order that leaves what the next one needs."""
    noise = os.urandom(1 << 20)
    chance = random.Random(1)
    per_pass = max(rows_count // PASSES // BATCH_ROWS, 1) * BATCH_ROWS
    written = 0

    def fresh_pass() -> Callable[[], None]:
        nonlocal written
        rows = batches(written, per_pass, noise)
        written += per_pass
        return lambda: write_all(kv, rows)

    yield f"write {BATCH_ROWS} rows", least_us(per_pass, [fresh_pass() for _ in range(PASSES)]), "row"

    recent = [key_of(number) for number in range(max(written - 20_000, 0), written)]
    chance.shuffle(recent)
    asked = recent[:5_000]
    absent = [b"u" + key for key in asked]
    fifties = [asked[first : first + 50] for first in range(0, len(asked), 50)]
    starts = asked[:200]
    yield "get, just written", least_us(len(asked), [lambda: [kv.get(key) for key in asked]] * PASSES), "key"
    yield "get, absent", least_us(len(asked), [lambda: [kv.get(key) for key in absent]] * PASSES), "key"
    yield "get_many of 50", least_us(len(asked), [lambda: [kv.get_many(keys) for keys in fifties]] * PASSES), "key"
    for limit in (1, 50, 1_000):
        scans = [partial(scan_all, kv, starts, limit)] * PASSES
        yield f"scan of {limit}", least_us(len(starts), scans), "call"
    downs = [lambda: [kv.scan(b"j", key, 50, reverse=True) for key in starts]] * PASSES
    yield "scan of 50, downwards", least_us(len(starts), downs), "call"

    old = [key_of(chance.randrange(written)) for _ in range(5_000)]
    began = time.perf_counter()
    kv.flush()
    yield "flush of what is buffered", (time.perf_counter() - began) * 1e6, "call (wall)"
    yield "get, anywhere, flushed", least_us(len(old), [lambda: [kv.get(key) for key in old]]), "key"

    deletes: list[dict[bytes, bytes | None]] = [
        dict.fromkeys(map(key_of, range(first, first + 50))) for first in range(0, per_pass, 50)
    ]
    share = len(deletes) // PASSES or 1
    cuts = [deletes[first : first + share] for first in range(0, len(deletes), share)][:PASSES]
    yield "delete 50 rows", least_us(share * 50, [partial(write_all, kv, cut) for cut in cuts]), "row"


def take_in_order(kv: KV, rows_count: int) -> float:
    """First in, first out through one range: append 50, take 50 from a remembered lower bound, delete them."""
    noise = os.urandom(1 << 20)
    low = b"q" + key_of(0)
    began = time.process_time()
    for first in range(0, rows_count, 50):
        kv.write({b"q" + key_of(number): value_of(number, noise) for number in range(first, first + 50)})
        taken = kv.scan(low, b"q" + END, 50)
        low = taken[-1][0]
        kv.write({key: None for key, _ in taken})
    return (time.process_time() - began) / rows_count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=get_args(Backend), action="append")
    parser.add_argument("--rows", type=int, default=200_000)
    arguments = parser.parse_args()
    for backend in arguments.backend or get_args(Backend):
        folder = tempfile.mkdtemp(prefix="storage-micro-")
        kv = open_store(backend, os.path.join(folder, "store"))
        print(f"{backend}, {arguments.rows} rows of {VALUE_BYTES} B, thread CPU, least of {PASSES} passes")
        for name, spent_us, unit in measure(kv, arguments.rows):
            print(f"  {name:<28}{spent_us:>12.2f} us/{unit}")
        print(f"  {'append, take, delete':<28}{take_in_order(kv, arguments.rows):>12.2f} us/row (CPU of all threads)")
        resident_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  size {kv.size_bytes() / 2**20:.0f} MiB, resident at most {resident_mib:.0f} MiB")
        kv.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
