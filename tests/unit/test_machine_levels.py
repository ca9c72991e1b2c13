"""What a state needs of the program that opens it, and entries that are refused as a whole."""

from collections.abc import Sequence

import msgspec
import pytest

from rustqueue.machine import keys, rows
from rustqueue.machine.audit import audit
from rustqueue.machine.machine import ApplyFault, Machine
from rustqueue.model.cluster.features import FEATURE_LEVEL, ProgramTooOld, too_early
from rustqueue.model.commands import FeatureLevel, Tick
from rustqueue.model.entry import ENTRY_VERSION, Entry
from rustqueue.model.replies import Done, Refused
from rustqueue.model.wire import encode_command
from rustqueue.storage.memory import MemoryKV
from tests.unit.factories import START_MS

PUSH = b'{"cmd":"push","queue":"q","name":"work"}'
POISON = b'{"cmd":"what_no_program_knows"}'


def entry(*commands: bytes, seed: int = 1) -> Entry:
    return Entry(ENTRY_VERSION, 1, START_MS, bytes([seed] * 16), list(commands))


def replayed(entries: Sequence[Entry], refused: frozenset[int] = frozenset()) -> Machine:
    machine = Machine(MemoryKV(), refused_indexes=refused)
    for index, one in enumerate(entries, 1):
        machine.apply(index, one)
    return machine


def test_a_level_that_the_program_does_not_know_changes_nothing_and_names_the_version() -> None:
    machine = replayed([entry(PUSH)])
    before = machine.state_hash
    newer = FeatureLevel(level=FEATURE_LEVEL + 1, version="9.1.0")
    with pytest.raises(ProgramTooOld, match=r"log entry 2 has feature level 2.*start RustQueue 9\.1\.0 or newer"):
        machine.apply(2, entry(PUSH, encode_command(newer)))
    assert (machine.applied_index, machine.state_hash) == (1, before)


def test_a_level_that_is_in_force_already_is_taken_and_changes_nothing() -> None:
    machine = replayed([entry(PUSH)])
    replies = machine.apply(2, entry(encode_command(FeatureLevel(level=FEATURE_LEVEL, version="0.0.1"))))
    meta = machine.state.meta
    assert (replies, meta.feature_level, meta.feature_version) == ([Done()], FEATURE_LEVEL, "")


def test_a_state_of_a_higher_level_is_not_opened() -> None:
    # Given a state that a newer program has raised
    kv = MemoryKV()
    meta = rows.MetaRow(defaults=msgspec.json.encode({}), feature_level=FEATURE_LEVEL + 1, feature_version="9.1.0")
    kv.write({keys.META: rows.encode(meta)})
    with pytest.raises(ProgramTooOld, match=r"the store has feature level 2.*start RustQueue 9\.1\.0 or newer"):
        Machine(kv)


def test_every_command_of_this_program_may_be_proposed_at_its_own_level() -> None:
    assert too_early(Tick(), FEATURE_LEVEL) is None


@pytest.mark.parametrize("poison", [entry(PUSH, POISON), entry(POISON, PUSH)])
def test_a_refused_entry_changes_no_job_and_what_follows_is_applied(poison: Entry) -> None:
    log = [entry(PUSH), poison, entry(PUSH, seed=3)]
    with pytest.raises((ApplyFault, msgspec.MsgspecError)):
        replayed(log)
    # When all nodes refuse it
    machine, other = replayed(log, frozenset({2})), replayed(log, frozenset({2}))
    # Then they agree, have the jobs before and after it, and differ from who had nothing to refuse
    assert machine.state_hash == other.state_hash
    assert machine.state_hash != replayed([entry(PUSH), entry(), entry(PUSH, seed=3)]).state_hash
    assert [counts.waiting for _, counts in machine.queue_counts()] == [2]
    assert audit(machine.view()) == []


def test_commands_of_a_refused_entry_are_answered() -> None:
    machine = Machine(MemoryKV(), refused_indexes=frozenset({1}))
    replies = machine.apply(1, entry(PUSH, POISON))
    assert [type(reply) for reply in replies] == [Refused, Refused]
    assert [reply.error.code for reply in replies if isinstance(reply, Refused)] == ["ENTRY_REFUSED"] * 2
