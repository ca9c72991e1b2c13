"""Limits of active jobs, by queue and by group, and the turns that groups take."""

import random
from typing import Any

import pytest

from rustqueue.machine import keys, rows
from rustqueue.machine.audit import audit
from rustqueue.machine.ready import WindowLimits
from rustqueue.model import limits
from rustqueue.storage.memory import MemoryKV
from tests.unit.factories import Json, Rig


def push_groups(rig: Rig, *groups: str | None, **options: Any) -> list[str]:
    jobs = [{"name": "work", "data": group, **({"group_id": group} if group else {}), **options} for group in groups]
    ids: list[str] = rig.do("push_batch", queue="q", jobs=jobs)["ids"]
    return ids


def order(rig: Rig, count: int) -> list[Any]:
    """The groups of the next jobs, in the order in which a pull gives them."""
    return [job["data"] for job in rig.pull(count)]


def set_limits(rig: Rig, **limited: Any) -> None:
    rig.do("queue_settings", queue="q", limits=limited)


def test_a_queue_runs_as_many_jobs_as_it_may() -> None:
    rig = Rig()
    set_limits(rig, concurrency=2)
    ids = rig.push_many(3)

    assert rig.pulled(10) == ids[:2]
    assert (rig.pulled(10), rig.machine.ready_count("q")) == ([], 0)
    rig.reopen()
    rig.do("ack", id=ids[0])
    assert rig.machine.ready_count("q") == 1
    assert rig.pulled(10) == ids[2:]

    set_limits(rig, concurrency=1)
    rig.push_many(1)
    rig.do("ack", id=ids[1])
    assert rig.pulled() == []


def test_groups_take_turns() -> None:
    rig = Rig()
    push_groups(rig, "a", "a", "a", "b", "b", "c")

    assert order(rig, 4) == ["a", "b", "c", "a"]
    push_groups(rig, "d", "b")
    assert order(rig, 5) == ["b", "a", "d", "b"]


def test_jobs_without_a_group_take_turns_together() -> None:
    rig = Rig()
    push_groups(rig, None, None, None, "a", "a")

    assert order(rig, 9) == [None, "a", None, "a", None]


def test_priority_goes_before_turns() -> None:
    rig = Rig()
    push_groups(rig, "a", "a", None)
    push_groups(rig, "b", "b", None, priority=5)
    push_groups(rig, "a", priority=7)

    assert order(rig, 9) == ["a", None, "b", "b", "a", None, "a"]


def test_a_group_runs_as_many_jobs_as_it_may_and_holds_up_no_other() -> None:
    rig = Rig()
    set_limits(rig, group_concurrency=1)
    ids = push_groups(rig, "a", "a", "b", "a", None, None)

    assert rig.pulled(10) == [ids[4], ids[0], ids[2], ids[5]]
    assert (rig.counts(), rig.machine.ready_count("q")) == ({"waiting": 2, "active": 4}, 0)
    rig.told()
    rig.reopen()
    rig.do("ack", id=ids[0])
    assert ("freed", "q") in rig.told()
    assert rig.pulled(10) == [ids[1]]


@pytest.mark.parametrize("end", ["ack", "fail", "cancel", "stall"])
def test_whatever_ends_a_job_lets_the_next_of_its_group_go(end: str) -> None:
    rig = Rig()
    set_limits(rig, group_concurrency=1)
    first, second = push_groups(rig, "a", "a", max_attempts=1)
    assert rig.pulled(2) == [first]

    if end == "stall":
        rig.wait(40_000)
    elif end == "cancel":
        rig.do("ack", id=first, cancelled=True)
    else:
        rig.do(end, id=first)

    assert rig.pulled(2) == [second]


def test_a_limit_holds_at_once_when_it_is_changed() -> None:
    rig = Rig()
    set_limits(rig, group_concurrency=1)
    ids = push_groups(rig, "a", "a", "a", "a", "b")
    assert rig.pulled(9) == [ids[0], ids[4]]
    rig.told()

    set_limits(rig, group_concurrency=2)
    assert rig.told() == [("freed", "q")]
    assert rig.pulled(9) == [ids[1]]
    set_limits(rig, group_concurrency=1)
    rig.do("ack", id=ids[0])
    assert rig.pulled(9) == []
    set_limits(rig)
    assert rig.pulled(9) == ids[2:4]


def test_more_parked_groups_than_one_entry_looks_at_come_back_when_their_jobs_end() -> None:
    rig = Rig()
    rig.audited = False
    set_limits(rig, group_concurrency=1)
    count = limits.GROUPS_LOOKED_MAX + 2
    for start in range(0, count, 500):
        names = [f"g{number:05}" for number in range(start, min(start + 500, count))]
        push_groups(rig, *names)
        push_groups(rig, *names)
    leased = [rig.pulled(1_000), rig.pulled(1_000)]
    assert [len(some) for some in leased] == [1_000, 2]

    set_limits(rig)
    assert rig.machine.ready_count("q") == limits.GROUPS_LOOKED_MAX
    rig.do("ack_batch", ids=leased[1])

    assert rig.machine.ready_count("q") == count
    assert audit(rig.kv) == []


def test_an_expired_job_gives_its_turn_to_the_next_of_its_group() -> None:
    rig = Rig()
    (old,) = push_groups(rig, "a", ttl_ms=100)
    others = push_groups(rig, "b", "a")
    rig.now_ms += 200

    assert rig.pulled(9) == [others[1], others[0]]
    assert rig.state(old) == "dlq"


def test_a_pull_over_groups_stops_at_its_size() -> None:
    rig = Rig()
    payload = "x" * (limits.DATA_BYTES_MAX - 100)
    rig.audited = False
    for number in range(18):
        rig.push(data=payload, group_id=f"g{number % 3}")

    assert [len(rig.pull(100)), len(rig.pull(100))] == [16, 2]


def test_drain_and_delete_find_the_jobs_of_groups() -> None:
    rig = Rig()
    push_groups(rig, "a", None, "b", "a")
    push_groups(rig, "a", lifo=True)
    (running,) = rig.pulled()

    assert rig.do("queue_drain", queue="q")["moved"] == 4
    assert rig.state(running) == "active"
    push_groups(rig, "a", "c")
    assert rig.do("queue_delete", queue="q", force=True)["sweep"] is None
    assert [key for key in rig.rows() if key[:1] in b"fwvr"] == []


def test_names_of_groups_cannot_be_mixed_up() -> None:
    rig = Rig()
    names = ["a", "a\0", "\0", "\x01", "ä", "a\x01b", "q\0q", "x" * 256]
    ids = push_groups(rig, *names)
    rig.push("q2", group_id="a")

    assert (rig.pulled(9), rig.pulled(9, queue="q2")[1:]) == (ids, [])
    push_groups(rig, "", "")
    assert not [key for key in rig.rows() if key[:1] == b"r"]


Q = keys.queue_part("q")


def a_sound_store() -> dict[bytes, bytes]:
    rig = Rig()
    set_limits(rig, group_concurrency=1)
    push_groups(rig, "a", "a", "b", "b", None)
    rig.pulled(2)
    return dict(rig.scan())


SOUND = a_sound_store()
DAMAGES: dict[str, tuple[bytes, bytes | None, str]] = {
    "a row is lost": (keys.group(Q, "b"), None, "group 'b' of queue 'q' has jobs, but no row"),
    "a wrong count": (
        keys.group(Q, "a"),
        rows.encode(rows.GroupRow(3, 1, 1, 0, True)),
        "group 'a' of queue 'q' counts 3 waiting and 1 active jobs, but has 1 and 1",
    ),
    "a wrong turn": (keys.group(Q, "b"), rows.encode(rows.GroupRow(2, 0, 9, 0)), "does not stand where its turn is"),
    "a wrong priority": (keys.group(Q, "b"), rows.encode(rows.GroupRow(2, 0, 2, 3)), "stands at priority 3, not 0"),
    "one too many in the ring": (keys.ring(Q, 0, 77), b"c", "a ring holds other groups"),
    "counters of the queue": (
        keys.counters(Q),
        rows.encode(rows.CountersRow(seq=5, waiting=3, active=2, grouped=1, held=0)),
        "counts 1 waiting jobs in groups and 0 held ones, but has 3 and 1",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_audit_finds_damage(name: str) -> None:
    key, value, sentence = DAMAGES[name]
    assert audit(MemoryKV(SOUND)) == []
    damaged = {**SOUND, key: value} if value is not None else {k: v for k, v in SOUND.items() if k != key}

    problems = audit(MemoryKV(damaged))

    assert any(sentence in problem for problem in problems), problems


class Oracle:
    """Turns over plain lists: what comes next is the head of highest priority, then of the longest wait for a turn."""

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[str | None, int, int]] = {}
        self.active: dict[str, str | None] = {}
        self.turns: dict[str | None, int] = {None: 0}
        self.clock = 0
        self.limit: int | None = None
        self.parked: set[str] = set()

    def turn(self, group: str | None) -> None:
        self.clock += 1
        self.turns[group] = self.clock

    def running(self, group: str | None) -> int:
        return sum(one == group for one in self.active.values())

    def put(self, job_id: str, group: str | None, priority: int, place: int) -> None:
        if group is not None and all(one != group for one, _, _ in self.waiting.values()):
            self.turn(group)
        self.waiting[job_id] = (group, priority, place)

    def next(self) -> str | None:
        heads = {
            group: min(
                (-priority, place, job_id) for job_id, (one, priority, place) in self.waiting.items() if one == group
            )
            for group in {one for one, _, _ in self.waiting.values()}
        }
        free = [group for group in heads if group not in self.parked]
        return heads[min(free, key=lambda group: (heads[group][0], self.turns[group]))][2] if free else None

    def is_full(self, group: str) -> bool:
        return self.limit is not None and self.running(group) >= self.limit

    def take(self, job_id: str) -> None:
        group, _, _ = self.waiting.pop(job_id)
        self.active[job_id] = group
        self.turn(group)
        if group is not None and self.is_full(group):
            self.parked.add(group)

    def end(self, job_id: str) -> None:
        group = self.active.pop(job_id)
        if group in self.parked and not self.is_full(str(group)):
            self.parked.discard(str(group))
            self.turn(group)


class Game:
    """A machine and the oracle, given the same steps."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.rig, self.oracle = Rig(WindowLimits(jobs_max=dice.choice([1, 3, 1_000]))), Oracle()
        self.steps = 0

    def push(self) -> None:
        self.steps += 1
        group, priority = self.dice.choice([None, "a", "b", "c"]), self.dice.choice([0, 0, 0, 1])
        lifo = self.dice.random() < 0.1
        named: Json = {"group_id": group} if group else {}
        job_id = self.rig.push(priority=priority, lifo=lifo, **named)
        self.oracle.put(job_id, group, priority, -self.steps if lifo else self.steps)

    def pull(self) -> None:
        expected: list[str] = []
        for _ in range(count := self.dice.choice([1, 2, 7])):
            if (job_id := self.oracle.next()) is not None:
                self.oracle.take(job_id)
                expected.append(job_id)
        assert self.rig.pulled(count) == expected

    def ack(self) -> None:
        if self.oracle.active:
            job_id = self.dice.choice(sorted(self.oracle.active))
            self.rig.do("ack", id=job_id)
            self.oracle.end(job_id)

    def remove(self) -> None:
        if self.oracle.waiting:
            job_id = self.dice.choice(sorted(self.oracle.waiting))
            self.rig.do("job_remove", id=job_id)
            del self.oracle.waiting[job_id]

    def change_limit(self) -> None:
        """Groups that come back together do so in the order of their names."""
        self.oracle.limit = self.dice.choice([None, 1, 2])
        set_limits(self.rig, **({"group_concurrency": self.oracle.limit} if self.oracle.limit else {}))
        for name in "abc":
            if self.oracle.is_full(name):
                self.oracle.parked.add(name)
            elif name in self.oracle.parked:
                self.oracle.parked.discard(name)
                self.oracle.turn(name)


@pytest.mark.parametrize("seed", range(25))
def test_a_pull_gives_what_a_naive_ring_gives(seed: int) -> None:
    game = Game(random.Random(seed))
    steps = [*[game.push, game.ack] * 6, *[game.pull] * 4, game.remove, game.rig.reopen, game.change_limit]
    for _ in range(150):
        game.dice.choice(steps)()
