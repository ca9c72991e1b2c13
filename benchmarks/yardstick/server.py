"""The yardstick server: TCP JSON, one journal write with fdatasync for each loop turn, RocksDB, reply.

It knows three verbs and has no limits, no retries, no recovery and no errors: what is left when everything is taken
away that a user needs. A full node is asked to keep 60% of its speed, so its hot path must stay as it is. It imports
nothing from `rustqueue`, and nothing may be built on it.

Run as `python server.py FOLDER PORT`.
"""

from __future__ import annotations

import asyncio
import collections
import os
import struct
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from msgspec import Raw, Struct
from rocksdict import Options, Rdict, WriteBatch, WriteOptions


class JobSpec(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One job of a batch, as the client sends it."""

    name: str
    data: Raw
    priority: int = 0
    delay_ms: int = 0
    max_attempts: int = 3
    unique_key: str | None = None
    ttl_ms: int | None = None


class Push(Struct, tag_field="cmd", tag="push_batch", forbid_unknown_fields=True):
    """Adds jobs."""

    queue: str
    jobs: list[JobSpec]


class Pull(Struct, tag_field="cmd", tag="pull", forbid_unknown_fields=True):
    """Takes jobs."""

    queue: str
    count: int = 1


class Ack(Struct, tag_field="cmd", tag="ack_batch", forbid_unknown_fields=True):
    """Ends jobs."""

    ids: list[str]


Command = Push | Pull | Ack


class JobView(Struct):
    """A pulled job, about as wide as the real one."""

    id: str
    queue: str
    name: str
    state: str
    data: Raw
    priority: int
    attempt: int
    max_attempts: int
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    progress: int = 0
    last_error: str | None = None
    lease_ms: int = 30000
    token: int = 0
    delay_until: int | None = None
    unique_key: str | None = None
    tags: list[str] = []
    flow_id: str | None = None


class Pushed(Struct):
    ids: list[str]
    ok: bool = True


class Pulled(Struct):
    jobs: list[JobView]
    ok: bool = True


class Acked(Struct):
    acked: int
    ok: bool = True


Reply = Pushed | Pulled | Acked


class Record(Struct, array_like=True):
    """The row written once at push."""

    queue: str
    name: str
    data: bytes
    priority: int
    max_attempts: int
    created_at: int


class Hot(Struct):
    """What memory keeps of an unfinished job."""

    attempt: int
    token: int


decode_command = msgspec.json.Decoder(Command).decode
encode_reply = msgspec.json.Encoder().encode
encode_row = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(Record).decode

Entry = tuple[int, list[str], Command]


def new_ids(count: int, now_ms: int) -> list[str]:
    """UUIDv7 texts from one read of the system's randomness."""
    random, stamp = os.urandom(10 * count), now_ms.to_bytes(6, "big").hex()
    ids = []
    for ordinal in range(count):
        digits = random[10 * ordinal : 10 * ordinal + 10].hex()
        ids.append(f"{stamp[:8]}-{stamp[8:]}-7{digits[:3]}-8{digits[3:6]}-{digits[6:18]}")
    return ids


class Machine:
    """Applies one loop turn's entries and writes their rows as one batch."""

    def __init__(self, path: Path) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_atomic_flush(True)
        options.set_write_buffer_size(64 << 20)
        self._db = Rdict(str(path), options)
        self._write_options = WriteOptions()
        # The stub takes this property for a method.
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        self._ready: dict[str, dict[int, collections.deque[str]]] = collections.defaultdict(dict)
        self._hot: dict[str, Hot] = {}
        self._index = 0

    def apply(self, entries: Sequence[Entry]) -> list[Reply]:
        batch, replies = WriteBatch(raw_mode=True), list[Reply]()
        for now_ms, ids, command in entries:
            self._index += 1
            if type(command) is Push:
                replies.append(self._push(batch, now_ms, ids, command))
            elif type(command) is Pull:
                replies.append(self._pull(batch, now_ms, command))
            elif type(command) is Ack:
                replies.append(self._ack(batch, now_ms, command))
        batch.put(b"!applied", struct.pack(">Q", self._index))
        self._db.write(batch, self._write_options)
        return replies

    def _push(self, batch: WriteBatch, now_ms: int, ids: list[str], command: Push) -> Pushed:
        queue, hot = self._ready[command.queue], self._hot
        for job_id, job in zip(ids, command.jobs, strict=True):
            record = Record(command.queue, job.name, bytes(job.data), job.priority, job.max_attempts, now_ms)
            batch.put(b"j" + job_id.encode(), encode_row(record))
            line = queue.get(job.priority)
            if line is None:
                line = queue[job.priority] = collections.deque()
            line.append(job_id)
            hot[job_id] = Hot(0, 0)
        return Pushed(ids)

    def _pull(self, batch: WriteBatch, now_ms: int, command: Pull) -> Pulled:
        queue, taken = self._ready[command.queue], list[str]()
        for priority in sorted(queue, reverse=True):
            line = queue[priority]
            while line and len(taken) < command.count:
                taken.append(line.popleft())
            if len(taken) == command.count:
                break
        rows: list[bytes] = self._db.get([b"j" + job_id.encode() for job_id in taken]) if taken else []  # type: ignore[assignment]
        jobs = []
        for job_id, row in zip(taken, rows, strict=True):
            record, hot = decode_record(row), self._hot[job_id]
            hot.attempt += 1
            hot.token = self._index
            batch.put(b"s" + job_id.encode(), encode_row((1, hot.attempt, now_ms, self._index)))
            jobs.append(
                JobView(
                    job_id,
                    record.queue,
                    record.name,
                    "active",
                    Raw(record.data),
                    record.priority,
                    hot.attempt,
                    record.max_attempts,
                    record.created_at,
                    now_ms,
                    token=self._index,
                )
            )
        return Pulled(jobs)

    def _ack(self, batch: WriteBatch, now_ms: int, command: Ack) -> Acked:
        acked = 0
        for job_id in command.ids:
            hot = self._hot.pop(job_id, None)
            if hot is not None:
                batch.put(b"s" + job_id.encode(), encode_row((2, hot.attempt, now_ms, hot.token)))
                acked += 1
        return Acked(acked)


class Journal:
    """An append-only file; the client's own bytes are the log entry."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append_and_sync(self, records: Sequence[bytes]) -> None:
        framed = b"".join(struct.pack(">II", len(record), zlib.crc32(record)) + record for record in records)
        os.write(self._descriptor, framed)
        os.fdatasync(self._descriptor)


class Connection(asyncio.Protocol):
    """Cuts lines and writes replies."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The loop's own transports do not derive from asyncio's class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\n")) >= 0:
            line, self._unread = self._unread[:end], self._unread[end + 1 :]
            self._node.propose(self, decode_command(line), line)


class Node:
    """Gathers the commands of one loop turn, makes them durable in a thread, applies them, answers."""

    def __init__(self, folder: Path) -> None:
        self._machine = Machine(folder / "db")
        self._journal = Journal(folder / "journal")
        self._pending: list[tuple[Connection, Command, bytes]] = []
        self._busy = False
        self._loop = asyncio.get_running_loop()

    def propose(self, connection: Connection, command: Command, line: bytes) -> None:
        self._pending.append((connection, command, line))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._start_round)

    def _start_round(self) -> None:
        proposals, self._pending = self._pending, []
        now_ms = time.time_ns() // 1_000_000
        entries: list[Entry] = []
        records = []
        for _, command, line in proposals:
            ids = new_ids(len(command.jobs), now_ms) if type(command) is Push else []
            entries.append((now_ms, ids, command))
            records.append(encode_row((1, now_ms, ids)) + line)
        durable = self._loop.run_in_executor(None, self._journal.append_and_sync, records)
        durable.add_done_callback(lambda _: self._end_round(proposals, entries))

    def _end_round(self, proposals: list[tuple[Connection, Command, bytes]], entries: list[Entry]) -> None:
        for (connection, _, _), reply in zip(proposals, self._machine.apply(entries), strict=True):
            connection.transport.write(encode_reply(reply) + b"\n")
        if self._pending:
            self._loop.call_soon(self._start_round)
        else:
            self._busy = False


async def serve(folder: Path, port: int) -> None:
    node = Node(folder)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(node), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
