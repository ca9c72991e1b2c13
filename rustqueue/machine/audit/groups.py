"""Groups of queues: what each counts, and whether those that may start a job stand in the ring.

It must not look at single jobs: `jobs` has counted them before.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.audit.census import Census, GroupTally, family
from rustqueue.machine.rows import GroupRow


def check_groups(census: Census) -> None:
    in_ring: dict[bytes, int] = {}
    held: dict[str, int] = {}
    for key, value in family(census.view, b"v"):
        name, _, text = key[1:].partition(b"\0")
        queue, row = name.decode("ascii", "replace"), rows.decode_group(value)
        _check_group(census, queue, text.decode("utf-8", "replace"), row)
        if row.waiting and not row.parked:
            place = keys.ring(keys.queue_part(queue), row.priority, row.turn)
            in_ring[place] = in_ring.get(place, 0) + 1
            if census.view.get(place) != text:
                census.problem(f"group {text!r} of queue '{queue}' does not stand where its turn is")
        held[queue] = held.get(queue, 0) + (row.waiting if row.parked else 0)
    if sum(1 for _ in family(census.view, b"r")) != len(in_ring) or any(count > 1 for count in in_ring.values()):
        census.problem("a ring holds other groups than those that may start a job")
    for queue, tally in census.queues.items():
        _check_queue(census, queue, sum(group.waiting for group in tally.groups.values()), held.get(queue, 0))
        for group in tally.groups:
            if census.view.get(keys.group(keys.queue_part(queue), group)) is None:
                census.problem(f"group '{group}' of queue '{queue}' has jobs, but no row")


def _check_group(census: Census, queue: str, group: str, row: GroupRow) -> None:
    found = census.tally(queue).groups.get(group, GroupTally())
    if (row.waiting, row.active) != (found.waiting, found.active) or not (row.waiting or row.active):
        census.problem(
            f"group '{group}' of queue '{queue}' counts {row.waiting} waiting and {row.active} active jobs, but has"
            f" {found.waiting} and {found.active}"
        )
    if row.waiting and row.priority != found.priority:
        census.problem(f"group '{group}' of queue '{queue}' stands at priority {row.priority}, not {found.priority}")


def _check_queue(census: Census, queue: str, grouped: int, held: int) -> None:
    stored = census.view.get(keys.counters(keys.queue_part(queue)))
    if stored is None:
        return
    counters = rows.decode_counters(stored)
    if (counters.grouped, counters.held) != (grouped, held):
        census.problem(
            f"queue '{queue}' counts {counters.grouped} waiting jobs in groups and {counters.held} held ones, but has"
            f" {grouped} and {held}"
        )
