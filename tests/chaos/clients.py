"""The load of a crash or chaos test: one process with several clients, each a thread with a connection of its own.

`python -m tests.chaos.clients NAME SEED NODES ROLE...` writes every call to standard output as a line of the history
and ends when its standard input ends. NODES are `NAME=HOST:TCP_PORT:HTTP_PORT`, with commas between them; of several,
a client goes to another one when its node is gone, silent or without a leader. What each client does follows from
the seed; how far it gets does not. Invariant: a client writes a call down before it makes the next one.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

from rustqueue.history.lines import Broken, Call, Down, Line, Object, encode_line
from tests.chaos.connections import Connection, HttpConnection, Lost, Nonsense, TcpConnection

QUEUES: Final = ("plain", "bulk", "rich")
LEASE_MS: Final = 1_500
CONNECT_PAUSE_S: Final = 0.02
TRIES_WHEN_FINISHING: Final = 300
KNOWN_IDS_MAX: Final = 300
# How long a client of a cluster waits for an answer before it asks another node.
PATIENCE_S: Final = 3.0
# Refusals after which the same command goes again, to another node if there is one; anything else is an answer.
PASSING: Final = {"SHUTTING_DOWN", "NOT_READY", "NO_LEADER", "OVERLOADED", "DISK_FULL"}
# After these it is this node that cannot serve.
MOVING: Final = {"SHUTTING_DOWN", "NOT_READY", "NO_LEADER", "OUTCOME_UNKNOWN"}


class Door(NamedTuple):
    """Where a node serves clients."""

    name: str
    host: str
    tcp_port: int
    http_port: int

    def text(self) -> str:
        return f"{self.name}={self.host}:{self.tcp_port}:{self.http_port}"


def read_doors(text: str) -> list[Door]:
    doors = []
    for each in text.split(","):
        name, _, address = each.partition("=")
        host, tcp_port, http_port = address.split(":")
        doors.append(Door(name, host, int(tcp_port), int(http_port)))
    return doors


class Output:
    """Standard output, one line at a time, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, line: Line) -> None:
        with self._lock:
            sys.stdout.buffer.write(encode_line(line))
            sys.stdout.buffer.flush()


class Shared:
    """What the clients of one process share: ids that some of them were given, for others to read and cancel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: list[str] = []
        self.finishing = threading.Event()

    def remember(self, ids: list[str]) -> None:
        with self._lock:
            self._ids = (self._ids + ids)[-KNOWN_IDS_MAX:]

    def one_of(self, rng: random.Random) -> str | None:
        with self._lock:
            return rng.choice(self._ids) if self._ids else None


class Client:
    """Calls, their repeats after a broken connection, and their line in the history."""

    def __init__(self, name: str, seed: str, shared: Shared, output: Output, doors: list[Door]) -> None:
        self.name = name
        self.rng = random.Random(f"{seed} {name}")
        self.shared = shared
        self.over_http = False
        self._output = output
        self._doors = doors
        self._place = self.rng.randrange(len(doors))
        self._connection: Connection | None = None
        self._numbers = count(1)
        self._tries_when_finishing = TRIES_WHEN_FINISHING

    def next_op(self) -> str:
        return f"{self.name}-{next(self._numbers)}"

    def call(self, request: Object, op: str, *, repeat: bool) -> Object | None:
        """The reply, or None when it stays unknown. With `repeat` the command goes again until a node answers it."""
        while True:
            connection = self._connected()
            if connection is None:
                return None
            start_us = time.monotonic_ns() // 1_000
            reply: Object | None = None
            lost = False
            try:
                reply = connection.ask({**request, "request_id": op})
            except Lost:
                lost = True
            refusal = None if reply is None else refusal_of(reply)
            if refusal == "OUTCOME_UNKNOWN":
                reply = None
            end_us = time.monotonic_ns() // 1_000
            self._output.write(Call(self.name, op, request, reply, start_us, end_us, self._node_told))
            if lost:
                self._drop()
                self._output.write(Down(self.name))
            elif refusal in MOVING:
                self._move()
            if not repeat or (reply is not None and refusal not in PASSING):
                return reply
            if not lost and self._waited_enough():
                return None

    def broken(self, reason: str) -> None:
        self._output.write(Broken(self.name, reason))

    def _connected(self) -> Connection | None:
        """A connection; None when the test ends and there is no node. While the node is down this tries on."""
        while self._connection is None:
            door = self._doors[self._place]
            patience_s = PATIENCE_S if len(self._doors) > 1 else None
            try:
                if self.over_http:
                    self._connection = HttpConnection(door.host, door.http_port, patience_s)
                else:
                    self._connection = TcpConnection(door.host, door.tcp_port, patience_s)
            except Lost:
                self._place = (self._place + 1) % len(self._doors)
                if self._waited_enough():
                    return None
        return self._connection

    def _waited_enough(self) -> bool:
        """A pause between two tries; True when the test ends and nobody has answered for long enough."""
        if not self.shared.finishing.wait(CONNECT_PAUSE_S):
            return False
        threading.Event().wait(CONNECT_PAUSE_S)
        self._tries_when_finishing -= 1
        return self._tries_when_finishing <= 0

    def _move(self) -> None:
        if len(self._doors) > 1:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._place = (self._place + 1) % len(self._doors)

    @property
    def _node_told(self) -> str:
        """The histories of one node need no names."""
        return self._doors[self._place].name if len(self._doors) > 1 else ""


def refusal_of(reply: Object) -> str | None:
    """The code of a refusal. A batch with refused items has `ok` false and no code of its own."""
    code: str | None = reply.get("error", {}).get("code")
    return code


def a_job(op: str, position: int, of: int, size: int = 0) -> Object:
    return {"name": "work", "data": {"op": op, "i": position, "of": of, "fill": "x" * size}}


def push_single(client: Client) -> None:
    """Plain single pushes, half of them with an idempotency key and repeated until they are answered."""
    op = client.next_op()
    request = {"cmd": "push", "queue": "plain", **a_job(op, 0, 1, client.rng.choice([0, 100, 2_000]))}
    safe = client.rng.random() < 0.5
    if safe:
        request["idempotency_key"] = op
    reply = client.call(request, op, repeat=safe)
    if reply is not None and reply["ok"]:
        client.shared.remember([reply["id"]])


def push_batch(client: Client) -> None:
    op = client.next_op()
    size = client.rng.choice([1, 5, 20])
    request = {"cmd": "push_batch", "queue": "bulk", "jobs": [a_job(op, i, size, 100) for i in range(size)]}
    safe = client.rng.random() < 0.5
    if safe:
        request["idempotency_key"] = op
    reply = client.call(request, op, repeat=safe)
    if reply is not None and reply["ok"]:
        client.shared.remember(reply["ids"][:3])


def push_rich(client: Client) -> None:
    """Batches with priorities, metadata, unique keys, delays, follow-on dependencies inside the batch."""
    op, rng = client.next_op(), client.rng
    size = rng.choice([1, 4, 12])
    jobs = []
    for position in range(size):
        job = a_job(op, position, size)
        job |= {"priority": rng.randrange(-3, 4), "metadata": {"op": op}, "tags": ["t", op], "max_attempts": 4}
        job |= {"backoff": "fixed", "backoff_delay_ms": rng.choice([0, 50, 400])}
        if rng.random() < 0.2:
            job["unique_key"] = f"key-{rng.randrange(1_000)}-{op}"
        if rng.random() < 0.1:
            job["unique_key"] = f"key-{rng.randrange(40)}"
        if rng.random() < 0.2:
            job["delay_ms"] = rng.randrange(500)
        if rng.random() < 0.1:
            job["custom_id"] = f"{op}-{position}"
        if rng.random() < 0.1:
            job["remove_on_complete"] = True
        elif position > 0 and rng.random() < 0.4:
            job["depends_on"] = [rng.randrange(position)]
        jobs.append(job)
    request = {"cmd": "push_batch", "queue": "rich", "jobs": jobs, "idempotency_key": op}
    reply = client.call(request, op, repeat=True)
    if reply is not None and reply["ok"]:
        client.shared.remember(reply["ids"])


def look_and_cancel(client: Client) -> None:
    """Reads of what others of this process were told is there, and now and then its cancellation."""
    job_id, op = client.shared.one_of(client.rng), client.next_op()
    if job_id is None:
        client.shared.finishing.wait(CONNECT_PAUSE_S)
    elif client.rng.random() < 0.3:
        running = {"running": True} if client.rng.random() < 0.3 else {}
        client.call({"cmd": "cancel", "id": job_id, **running}, op, repeat=True)
    else:
        client.call({"cmd": "get", "id": job_id}, op, repeat=False)


def work(client: Client, count_jobs: int) -> None:
    """Pull, then end each lease in one of the ways a worker can, or walk away from it."""
    rng = client.rng
    request: Object = {"cmd": "pull", "queues": [{"queue": queue} for queue in QUEUES], "count": count_jobs}
    request |= {"lease_ms": LEASE_MS, "wait_ms": rng.choice([0, 100]), "worker_id": client.name}
    reply = client.call(request, client.next_op(), repeat=False)
    if reply is None or not reply["ok"]:
        return
    jobs = reply["jobs"] if "jobs" in reply else [reply["job"]]
    finished = []
    for job in jobs:
        if job is None:
            client.shared.finishing.wait(CONNECT_PAUSE_S)
            continue
        held = {"id": job["id"], "attempt_token": job["attempt_token"]}
        what = rng.random()
        if what < 0.08:
            op = client.next_op()
            client.call({"cmd": "fail", **held, "error": f"boom {op}"}, op, repeat=True)
        elif what < 0.11:
            continue
        else:
            if what < 0.16:
                client.call({"cmd": "heartbeat", **held}, client.next_op(), repeat=False)
            if what > 0.97:
                client.call({"cmd": "progress", **held, "progress": 50}, client.next_op(), repeat=False)
            finished.append({**held, "result": {"by": client.name, "token": job["attempt_token"]}})
    if len(finished) > 1 or (finished and rng.random() < 0.5):
        client.call({"cmd": "ack_batch", "items": finished}, client.next_op(), repeat=True)
    elif finished:
        client.call({"cmd": "ack", **finished[0]}, client.next_op(), repeat=True)


def work_one(client: Client) -> None:
    work(client, 1)


def work_many(client: Client) -> None:
    work(client, 20)


def work_slowly(client: Client) -> None:
    """Hold jobs for longer than their lease by heartbeats; one in three is forgotten at the end, and lost."""
    reply = _pull(client)
    for job in [] if reply is None else reply["jobs"]:
        held = {"id": job["id"], "attempt_token": job["attempt_token"]}
        for _ in range(client.rng.randint(1, 4)):
            client.shared.finishing.wait(LEASE_MS / 3_000)
            client.call({"cmd": "heartbeat", **held}, client.next_op(), repeat=False)
        if client.rng.random() < 0.3:
            client.shared.finishing.wait(LEASE_MS / 500)
        _ack(client, held, job)


def work_twice(client: Client) -> None:
    """Acknowledge what was acknowledged before, now and then after the job was given to somebody else."""
    reply = _pull(client)
    for job in [] if reply is None else reply["jobs"]:
        held = {"id": job["id"], "attempt_token": job["attempt_token"]}
        if client.rng.random() < 0.2:
            client.shared.finishing.wait(LEASE_MS / 700)
        for _ in range(2):
            _ack(client, held, job)


def _pull(client: Client) -> Object | None:
    request: Object = {"cmd": "pull", "queues": [{"queue": queue} for queue in QUEUES], "count": 2}
    request |= {"lease_ms": LEASE_MS, "wait_ms": 100, "worker_id": client.name}
    reply = client.call(request, client.next_op(), repeat=False)
    return reply if reply is not None and reply["ok"] else None


def _ack(client: Client, held: Object, job: Object) -> None:
    done = {**held, "result": {"by": client.name, "token": job["attempt_token"]}}
    client.call({"cmd": "ack", **done}, client.next_op(), repeat=True)


ROLES: Final[dict[str, Callable[[Client], None]]] = {
    "single": push_single,
    "batch": push_batch,
    "rich": push_rich,
    "http": push_single,
    "http-batch": push_batch,
    "look": look_and_cancel,
    "one": work_one,
    "many": work_many,
    "slow": work_slowly,
    "twice": work_twice,
}


# Workers keep up with producers this way, so that jobs see their whole life and a state is soon compared.
PAUSE_MAX_S: Final[dict[Callable[[Client], None], float]] = {
    push_single: 0.02,
    push_batch: 0.06,
    push_rich: 0.06,
    look_and_cancel: 0.02,
    work_one: 0.0,
    work_many: 0.0,
    work_slowly: 0.1,
    work_twice: 0.1,
}


def live(client: Client, act: Callable[[Client], None]) -> None:
    try:
        while not client.shared.finishing.wait(client.rng.uniform(0, PAUSE_MAX_S[act])):
            act(client)
    except (Nonsense, json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        client.broken(f"{type(error).__name__}: {error}")


def main(words: list[str]) -> None:
    name, seed, doors, *roles = words
    shared, output = Shared(), Output()
    threads = []
    for position, role in enumerate(roles):
        client = Client(f"{name}{position}", seed, shared, output, read_doors(doors))
        client.over_http = role.startswith("http")
        threads.append(threading.Thread(target=live, args=(client, ROLES[role]), name=client.name))
    for thread in threads:
        thread.start()
    sys.stdin.read()
    shared.finishing.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
