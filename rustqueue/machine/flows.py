"""Dependencies when a job is pushed: which parents it waits for, how deep it lies, whether there is a cycle.

Edges are rows under the parent; the child holds a count. What happens when a parent ends is in `endings`.
"""

from typing import Final, NamedTuple

from rustqueue.machine import keys, rows
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.errors import NotFound, ValidationFailed
from rustqueue.model.jobs import JobOptions


class Family(NamedTuple):
    """Parents of a job to be: all of them, those not completed yet, and how deep the job lies."""

    parents: list[bytes]
    open: list[bytes]
    depth: int


_ALONE: Final = Family([], [], 0)


class _Batch:
    """Resolving the dependencies inside one batch: depth by walking, cycles by marking the path."""

    def __init__(self, state: State, tx: Tx, ids: list[bytes], options: list[JobOptions], in_batch: bool) -> None:
        self._in_batch = in_batch
        self._state = state
        self._tx = tx
        self._ids = ids
        self._options = options
        self._done: dict[int, Family] = {}
        self._children: dict[bytes, int] = {}

    def families(self) -> list[Family]:
        for place in range(len(self._ids)):
            self._visit(place)
        return [self._done[place] for place in range(len(self._ids))]

    def _visit(self, start: int) -> None:
        path: list[int] = [start]
        open_places = {start}
        while path:
            place = path[-1]
            if place in self._done:
                path.pop()
                open_places.discard(place)
                continue
            inner = [other for other in self._inner(place) if other not in self._done]
            if not inner:
                self._done[place] = self._family(place)
                continue
            if inner[0] in open_places:
                raise self._refused(place, "the dependencies form a cycle")
            path.append(inner[0])
            open_places.add(inner[0])

    def _inner(self, place: int) -> list[int]:
        found = []
        for reference in self._options[place].depends_on or ():
            if isinstance(reference, int):
                if not 0 <= reference < len(self._ids):
                    raise self._refused(place, f"there is no job {reference} in this batch")
                if reference == place:
                    raise self._refused(place, "a job cannot depend on itself")
                found.append(reference)
        return found

    def _family(self, place: int) -> Family:
        references = self._options[place].depends_on
        if not references:
            return _ALONE
        parents: dict[bytes, None] = {}
        waits: list[bytes] = []
        depth = 0
        for reference in references:
            if isinstance(reference, int):
                parent, parent_depth, is_open = self._ids[reference], self._done[reference].depth, True
            else:
                parent, parent_depth, is_open = self._stored_parent(place, reference)
            depth = max(depth, parent_depth + 1)
            if parent not in parents:
                parents[parent] = None
                self._count_child(place, parent)
                if is_open:
                    waits.append(parent)
        if depth > self._state.defaults.dag_depth:
            raise self._refused(place, f"dependency depth {depth} exceeds {self._state.defaults.dag_depth}")
        return Family(list(parents), waits, depth)

    def _stored_parent(self, place: int, reference: str) -> tuple[bytes, int, bool]:
        state, tx = self._state, self._tx
        try:
            parent, row, state_row = state.load(tx, reference)
        except NotFound:
            raise self._refused(place, f"dependency '{reference}' does not exist") from None
        except ValidationFailed:
            raise self._refused(place, f"dependency '{reference}' is no job id") from None
        code = state.code_of(parent, state_row)
        if code in (rows.DLQ, rows.CANCELLED):
            raise self._refused(place, f"dependency '{reference}' is {rows.STATE_NAMES[code]}")
        depth = row.extras.depth if row.extras is not None else 0
        return parent, depth, code != rows.COMPLETED

    def _count_child(self, place: int, parent: bytes) -> None:
        count = self._children.get(parent)
        if count is None:
            count = dependants_of(self._tx, parent)
        if count >= limits.CHILDREN_MAX:
            raise self._refused(place, f"a job can have {limits.CHILDREN_MAX} dependants at most")
        self._children[parent] = count + 1

    def _refused(self, place: int, reason: str) -> ValidationFailed:
        if not self._in_batch:
            return ValidationFailed(reason, "depends_on")
        return ValidationFailed(f"jobs[{place}]: {reason}", f"jobs[{place}].depends_on", index=place)


def resolve_parents(state: State, tx: Tx, ids: list[bytes], options: list[JobOptions], in_batch: bool) -> list[Family]:
    """Check the dependencies of a batch (contract A12, decisions A4). Nothing is written."""
    if not any(option.depends_on for option in options):
        return [_ALONE] * len(ids)
    return _Batch(state, tx, ids, options, in_batch).families()


def dependants_of(tx: Tx, parent: bytes) -> int:
    stored = tx.get(keys.dependants(parent))
    return int.from_bytes(stored, "big") if stored is not None else 0


def attach(state: State, tx: Tx, child: bytes, family: Family) -> None:
    """Write the edges of a new job."""
    for parent in family.open:
        tx.rows[keys.edge(parent, child)] = b""
    for parent in family.parents:
        count = dependants_of(tx, parent)
        state.meta.parents += count == 0
        tx.rows[keys.dependants(parent)] = (count + 1).to_bytes(4, "big")


def release(state: State, tx: Tx, child_parents: list[bytes]) -> None:
    """A child has ended: its parents have one dependant less; with the last one a kept result goes."""
    for parent in child_parents:
        count = dependants_of(tx, parent)
        if count > 1:
            tx.rows[keys.dependants(parent)] = (count - 1).to_bytes(4, "big")
        elif count == 1:
            tx.rows[keys.dependants(parent)] = None
            tx.rows[keys.kept_result(parent)] = None
            state.meta.parents -= 1
