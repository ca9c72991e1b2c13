"""What memory holds decides nothing: machines with tiny windows, and one restarted at any moment, do the same."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rustqueue.machine import queries
from rustqueue.machine.machine import Machine
from rustqueue.machine.ready import WindowLimits
from rustqueue.model.entry import Entry
from rustqueue.model.errors import ApiError
from rustqueue.model.queries import Get
from rustqueue.storage.memory import MemoryKV
from tests.property.scripts import NODE, Script, Step, entries
from tests.unit.factories import Json, Rig, plain


def played(log: list[list[Step]]) -> tuple[Rig, list[list[Json]]]:
    """Play a script on an audited machine; the log and the answers are what the others must agree with."""
    rig, script = Rig(defaults=NODE), Script()
    answers: list[list[Json]] = [[{"ok": True}]]
    for steps in log:
        commands = []
        for step in steps:
            rig.now_ms += script.pause_ms(step)
            commands.append(script.command(step))
        before, digest = rig.rows(), rig.machine.state_hash
        replies = [plain(reply) for reply in rig.apply(*commands)]
        if all("error" in reply for reply in replies):
            assert (rig.rows(), rig.machine.state_hash) == (before, digest), "a refusal left a trace"
        for reply in replies:
            script.learn(reply)
        answers.append(replies)
    return rig, answers


def replayed(log: list[Entry], windows: WindowLimits, restart_every: int) -> tuple[Machine, MemoryKV, list[list[Json]]]:
    kv = MemoryKV()
    machine, answers = Machine(kv, windows), []
    for index, entry in enumerate(log, 1):
        answers.append([plain(reply) for reply in machine.apply(index, entry)])
        if index % restart_every == 0:
            machine = Machine(kv, WindowLimits(windows.jobs_max, windows.bytes_max))
    return machine, kv, answers


def shown(machine: Machine, kv: MemoryKV) -> list[Json]:
    """Every job as a reader sees it."""
    jobs = []
    for key, _ in kv.scan(b"j", b"k", 100_000):
        try:
            jobs.append(plain(queries.answer(machine, Get(id=key[1:].hex()))))
        except ApiError as error:
            jobs.append({"error": error.code})
    return jobs


TOKENS_EXPIRE_TOGETHER: list[list[Step]] = [
    [("token_put", 1, 39), ("token_put", 0, 0)],
    [("wait", 3, 0)],
    [("token_put", 0, 0)],
]
"""Made in another order than that of their ids: a restarted node dropped them in the order of its rows."""


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@example(log=TOKENS_EXPIRE_TOGETHER, restart_every=1, jobs_max=1)
@given(log=entries, restart_every=st.integers(1, 7), jobs_max=st.sampled_from([1, 3, 65]))
def test_answers_rows_and_hash_do_not_depend_on_memory(
    log: list[list[Step]], restart_every: int, jobs_max: int
) -> None:
    rig, answers = played(log)
    rows = list(rig.scan())
    everything = shown(rig.machine, rig.kv)

    for windows, every in (
        (WindowLimits(1, 0), 1_000_000),
        (WindowLimits(jobs_max, 100), restart_every),
        (WindowLimits(), restart_every),
    ):
        machine, kv, seen = replayed(rig.log, windows, every)
        assert seen == answers
        assert list(kv.scan(b"", b"\xff", 1_000_000)) == rows
        assert machine.state_hash == rig.machine.state_hash
        assert shown(machine, kv) == everything
    cold = Machine(rig.kv).next_due_ms()
    warm = rig.machine.next_due_ms()
    assert cold is None if warm is None else cold is None or warm <= cold
