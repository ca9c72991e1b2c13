"""Producers and workers as a pod runs them: one line of JSON on standard output for every call, as it ended.

Uses the standard library only, because it is mounted into a pod as one file. Lines are those of `rustqueue.history`,
so that the same judge reads them. When the file STOP appears, clients end what they have begun; then the state of the
queue is written down, job by job. Arguments: HOST PORT STOP PREFIX; the prefix makes the names of two loads differ.
Environment: RUSTQUEUE_TOKEN, if the queue asks for one.
"""

import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Object = dict[str, Any]

QUEUES: Final = ("plain", "bulk")
LEASE_MS: Final = 20_000
REPLY_DEADLINE_S: Final = 15
CONNECT_DEADLINE_S: Final = 3
PAUSE_S: Final = 0.1
FINISH_DEADLINE_S: Final = 180
PAGE_JOBS: Final = 500
# What a client with retry repeats; anything else is an answer.
PASSING: Final = {
    "SHUTTING_DOWN",
    "OVERLOADED",
    "NOT_READY",
    "NO_LEADER",
    "OUTCOME_UNKNOWN",
    "DISK_FULL",
    "RATE_LIMITED",
}

_output = threading.Lock()


def write(line: Object) -> None:
    with _output:
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()


class Lost(Exception):
    """The connection broke, or no answer came: whether the request was carried out is unknown."""


class Connection:
    """One newline-JSON connection with one request in flight."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._socket = socket.create_connection((host, port), CONNECT_DEADLINE_S)
        except OSError as error:
            raise Lost(str(error)) from None
        self._socket.settimeout(REPLY_DEADLINE_S)
        self._input = self._socket.makefile("rb")
        if token := os.environ.get("RUSTQUEUE_TOKEN"):
            answer = self.ask({"cmd": "auth", "token": token})
            if not answer["ok"]:
                self.close()
                raise Lost(f"refused: {answer}")

    def ask(self, request: Object) -> Object:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._input.readline()
        except OSError as error:
            raise Lost(str(error)) from None
        if not line.endswith(b"\n"):
            raise Lost("closed")
        reply: Object = json.loads(line)
        reply.pop("request_id", None)
        return reply

    def close(self) -> None:
        self._input.close()
        self._socket.close()


class Client:
    """Calls, and their repeats until somebody answers."""

    def __init__(self, name: str, connect: Callable[[], Connection], finishing: threading.Event) -> None:
        self.name, self.rng, self.finishing = name, random.Random(name), finishing
        self._connect = connect
        self._connection: Connection | None = None
        self._number = 0
        self._give_up_at: float | None = None

    def next_op(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def call(self, request: Object, op: str, *, repeat: bool) -> Object | None:
        """The answer; None when it stays unknown. With `repeat` the same command goes again until it is answered."""
        while not self._too_late():
            reply, asked = self._once(request, op)
            if asked and (not repeat or (reply is not None and code_of(reply) not in PASSING)):
                return reply
            self.finishing.wait(self.rng.uniform(0, PAUSE_S))
        return None

    def _once(self, request: Object, op: str) -> tuple[Object | None, bool]:
        """The answer, and whether anything was sent."""
        start_us = time.monotonic_ns() // 1_000
        reply: Object | None = None
        try:
            if self._connection is None:
                self._connection = self._connect()
        except Lost:
            return None, False
        try:
            reply = self._connection.ask({**request, "request_id": op})
        except Lost:
            self._connection.close()
            self._connection = None
        if reply is not None and code_of(reply) == "OUTCOME_UNKNOWN":
            reply = None
        line = {"kind": "call", "client": self.name, "op": op, "request": request, "reply": reply}
        write({**line, "start_us": start_us, "end_us": time.monotonic_ns() // 1_000})
        return reply, True

    def _too_late(self) -> bool:
        """The end waits for a queue that is down, but not for ever."""
        if not self.finishing.is_set():
            return False
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + FINISH_DEADLINE_S
        return time.monotonic() > self._give_up_at


def code_of(reply: Object) -> str | None:
    error: Object = reply.get("error") or {}
    code: str | None = error.get("code")
    return code


def a_job(op: str, position: int, of: int) -> Object:
    return {"name": "work", "data": {"op": op, "i": position, "of": of, "fill": "x" * 100}}


def push(client: Client) -> None:
    op = client.next_op()
    request = {"cmd": "push", "queue": "plain", **a_job(op, 0, 1), "idempotency_key": op}
    client.call(request, op, repeat=True)
    client.finishing.wait(client.rng.uniform(0, 0.1))


def push_batch(client: Client) -> None:
    op, size = client.next_op(), client.rng.choice([1, 5, 20])
    jobs = [a_job(op, position, size) for position in range(size)]
    client.call({"cmd": "push_batch", "queue": "bulk", "jobs": jobs, "idempotency_key": op}, op, repeat=True)
    client.finishing.wait(client.rng.uniform(0, 0.3))


def work(client: Client) -> None:
    """Pull, work a little, acknowledge; a few jobs fail, and a lease is sometimes forgotten."""
    request: Object = {"cmd": "pull", "queues": [{"queue": queue} for queue in QUEUES], "count": 10}
    request |= {"lease_ms": LEASE_MS, "wait_ms": 500, "worker_id": client.name}
    reply = client.call(request, client.next_op(), repeat=False)
    if reply is None or not reply["ok"]:
        client.finishing.wait(PAUSE_S)
        return
    done = []
    for job in reply["jobs"]:
        held = {"id": job["id"], "attempt_token": job["attempt_token"]}
        chance = client.rng.random()
        if chance < 0.03:
            op = client.next_op()
            client.call({"cmd": "fail", **held, "error": f"boom {op}"}, op, repeat=True)
        elif chance > 0.01:
            done.append({**held, "result": {"by": client.name, "token": job["attempt_token"]}})
    if done:
        client.call({"cmd": "ack_batch", "items": done}, client.next_op(), repeat=True)


def live(client: Client, act: Callable[[Client], None]) -> None:
    try:
        while not client.finishing.is_set():
            act(client)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        write({"kind": "broken", "client": client.name, "reason": f"{type(error).__name__}: {error}"})


def state(connect: Callable[[], Connection]) -> None:
    """All jobs and counts, taken again until the counts before and after are the same."""
    deadline = time.monotonic() + FINISH_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            connection = connect()
            before = counts(connection)
            jobs = listing(connection)
            same = counts(connection) == before
            connection.close()
        except (Lost, KeyError) as error:
            sys.stderr.write(f"the state cannot be read: {error!r}\n")
            same, jobs, before = False, [], {}
        if same:
            for job in jobs:
                write({"kind": "job", "job": job})
            write({"kind": "counts", "counts": before})
            return
        threading.Event().wait(PAUSE_S)


def counts(connection: Connection) -> Object:
    return {queue["name"]: queue["counts"] for queue in connection.ask({"cmd": "list_queues"})["queues"]}


def listing(connection: Connection) -> list[Object]:
    jobs: list[Object] = []
    cursor: str | None = None
    while True:
        request: Object = {"cmd": "job_list", "limit": PAGE_JOBS, "order": "asc"}
        reply = connection.ask(request if cursor is None else {**request, "cursor": cursor})
        jobs += reply["jobs"]
        cursor = reply["next_cursor"]
        if cursor is None:
            return jobs


def main(host: str, port: str, stop: str, prefix: str = "") -> None:
    finishing = threading.Event()
    acts = {"p1": push, "p2": push, "b1": push_batch, "w1": work, "w2": work}

    def connect() -> Connection:
        return Connection(host, int(port))

    threads = [
        threading.Thread(target=live, args=(Client(prefix + name, connect, finishing), act))
        for name, act in acts.items()
    ]
    for thread in threads:
        thread.start()
    while not Path(stop).exists():
        finishing.wait(PAUSE_S)
    finishing.set()
    for thread in threads:
        thread.join()
    state(connect)
    write({"kind": "end"})


if __name__ == "__main__":
    main(*sys.argv[1:])
