"""What the links between members cost: round trips, and frames of 10 KiB over loopback, plain and under TLS.

`python -m benchmarks.peer_links [--frames N] [--rounds N]`. Two processes on uvloop, as two nodes would be; the figures
are those of the sender, CPU that of each process while frames flow. Certificates come from trustme (extra `dev`).
"""

import argparse
import asyncio
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import trustme
import uvloop

from rustqueue.raft.links import NO_CLUSTER, Hello
from rustqueue.raft.messages import PROTOCOL_VERSION, Append, Appended, LogRecord, Message
from rustqueue.raft.real import LoopClock
from rustqueue.raft.transport import LinkOptions, TcpLinks, TlsFiles

FRAME_BYTES = 10_240
WINDOW = 64  # Frames in flight: 640 KiB, well below what makes a peer busy.
ANSWER_EVERY = 16

Pipe = multiprocessing.connection.Connection


def links_of(node: str, tls: TlsFiles | None) -> TcpLinks:
    hello = Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, NO_CLUSTER, node, 0, "127.0.0.1:0")
    clock = LoopClock(asyncio.get_running_loop())
    options = LinkOptions("127.0.0.1:0", tls)
    return TcpLinks(lambda: hello, lambda _: None, options, clock, random.random)


async def answer(tls: TlsFiles | None, pipe: Pipe) -> None:
    """The far side: answers every empty Append, and every sixteenth full one, until the pipe says stop."""
    links = links_of("n2", tls)
    received, began_s = 0, 0.0

    def on_message(peer: str, message: Message) -> None:
        nonlocal received, began_s
        assert isinstance(message, Append)
        received += 1
        if message.records and not began_s:
            began_s = time.process_time()
        if not message.records or received % ANSWER_EVERY == 0:
            links.send(peer, Appended(1, True, received, message.sequence))

    links.on_message = on_message
    await links.start()
    loop = asyncio.get_running_loop()
    pipe.send(links.port)
    links.set_peers({"n1": f"127.0.0.1:{pipe.recv()}"})
    stopped = asyncio.Event()
    loop.add_reader(pipe.fileno(), stopped.set)
    await stopped.wait()
    pipe.recv()
    pipe.send(time.process_time() - began_s)
    await links.close()


def far_side(tls: TlsFiles | None, pipe: Pipe) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer(tls, pipe))


async def measure(tls: TlsFiles | None, pipe: Pipe, frames: int, rounds: int) -> dict[str, float]:
    links = links_of("n1", tls)
    up, answered = asyncio.Event(), asyncio.Event()
    links.on_up = lambda peer: up.set()
    links.on_message = lambda peer, message: answered.set()
    await links.start()
    links.set_peers({"n2": f"127.0.0.1:{pipe.recv()}"})
    pipe.send(links.port)
    await up.wait()
    record = [LogRecord(1, 1, os.urandom(FRAME_BYTES))]
    # The far side must have dialled back before anything can be answered.
    while not answered.is_set():
        links.send("n2", Append(1, 0, 0, 0, 0, []))
        await asyncio.sleep(0.01)
    times_us = []
    for number in range(rounds):
        answered.clear()
        started = time.perf_counter()
        links.send("n2", Append(1, 0, 0, 0, number, []))
        await answered.wait()
        times_us.append((time.perf_counter() - started) * 1e6)
    in_flight, room = 0, asyncio.Event()

    def on_message(peer: str, message: Message) -> None:
        nonlocal in_flight
        in_flight -= ANSWER_EVERY
        room.set()

    links.on_message = on_message
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(frames):
        while in_flight >= WINDOW:
            room.clear()
            await room.wait()
        links.send("n2", Append(1, 0, 0, 0, number, record))
        in_flight += 1
    while in_flight >= ANSWER_EVERY:
        room.clear()
        await room.wait()
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    await links.close()
    return {
        "round trip p50 us": median(times_us),
        "round trip p99 us": quantiles(times_us, n=100)[98],
        "10 KiB frames/s": frames / elapsed,
        "MB/s": frames * FRAME_BYTES / elapsed / 1e6,
        "sender CPU us/frame": cpu / frames * 1e6,
    }


def run(name: str, files: tuple[TlsFiles, TlsFiles] | None, frames: int, rounds: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    near, far = spawn.Pipe()
    one, two = files if files is not None else (None, None)
    peer = spawn.Process(target=far_side, args=(two, far))
    peer.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(measure(one, near, frames, rounds))
        near.send("stop")
        figures["receiver CPU us/frame"] = near.recv() / frames * 1e6
        print(name, *(f"  {what:36} {value:10.1f}" for what, value in figures.items()), sep="\n", flush=True)
    finally:
        peer.join(10)
        if peer.is_alive():
            peer.kill()


def certificates(folder: Path) -> tuple[TlsFiles, TlsFiles]:
    authority = trustme.CA()
    made = []
    for node in ("n1", "n2"):
        files = TlsFiles(*(str(folder / f"{node}.{kind}") for kind in ("pem", "key", "ca")))
        issued = authority.issue_cert(node)
        Path(files.cert).write_bytes(issued.cert_chain_pems[0].bytes())
        Path(files.key).write_bytes(issued.private_key_pem.bytes())
        Path(files.ca).write_bytes(authority.cert_pem.bytes())
        made.append(files)
    return made[0], made[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_links", description="Links between two members.")
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5_000)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        run("plain", None, arguments.frames, arguments.rounds)
        run("TLS 1.3", certificates(Path(folder)), arguments.frames, arguments.rounds)


if __name__ == "__main__":
    main()
