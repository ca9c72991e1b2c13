"""The machine against the naive reference: the same answers to every command, the same state of every job after it."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from rustqueue.machine.ready import WindowLimits
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import Refused
from tests.property.reference import ACTIVE, BLOCKED, GONE, WAITING, Reference, RefJob
from tests.unit.factories import START_MS, Json, Rig, plain

QUEUES = ("a", "b")
queues = st.sampled_from(QUEUES)
half_seconds = st.sampled_from([0, 500, 1_000, 3_000])
options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(-1, 1),
        "lifo": st.just(True),
        "delay_ms": st.sampled_from([500, 2_000]),
        "ttl_ms": st.sampled_from([500, 1_500]),
        "timeout_ms": st.sampled_from([1_000, 3_000]),
        "max_attempts": st.integers(1, 2),
        "backoff_delay_ms": st.sampled_from([0, 500]),
        "unique_key": st.sampled_from("uv"),
        "remove_on_complete": st.just(True),
        "remove_on_fail": st.just(True),
    },
)


class MachineAgainstReference(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    @initialize(window=st.sampled_from([1, 3, 4_096]))
    def start(self, window: int) -> None:
        self.rig = Rig(WindowLimits(window, 0 if window == 1 else 1_000_000), NodeDefaults(backoff="fixed"))
        self.reference = Reference(START_MS)
        self.tokens: list[str] = ["nobody's"]

    def told(self, cmd: str, **fields: Any) -> Json:
        """The machine's answer; a refusal must leave no trace."""
        before = self.rig.rows()
        (reply,) = self.rig.apply({"cmd": cmd, **fields})
        if isinstance(reply, Refused):
            assert self.rig.rows() == before
        return plain(reply)

    def agree(self, answer: Json, expected: str) -> None:
        code = "ok" if answer["ok"] else answer["error"]["code"]
        assert code == ("ok" if expected == "again" else expected)

    @rule(
        target=jobs,
        queue=queues,
        wanted=options,
        parents=st.lists(jobs, max_size=3),
        policy=st.sampled_from(["cascade", "ignore", "continue"]),
    )
    def push(self, queue: str, wanted: Json, parents: list[str], policy: str) -> Any:
        fields = {**wanted, "depends_on": parents, "on_parent_failure": policy}
        refusal = self.reference.refuses(queue, wanted.get("unique_key"), parents)
        answer = self.told("push", queue=queue, name="n", **fields)
        self.agree(answer, refusal or "ok")
        if refusal is not None:
            return multiple()
        renamed = {("backoff_ms" if key == "backoff_delay_ms" else key): value for key, value in wanted.items()}
        unique = list(dict.fromkeys(parents))
        self.reference.push(RefJob(answer["id"], queue, 0, 0, parents=unique, policy=policy, **renamed))
        return answer["id"]

    @rule(target=jobs, queue=queues, count=st.sampled_from([1, 2, 70]))
    def push_batch(self, queue: str, count: int) -> Any:
        refusal = self.reference.refuses(queue, None, [])
        answer = self.told("push_batch", queue=queue, jobs=[{"name": "n"}] * count)
        self.agree(answer, refusal or "ok")
        for job_id in answer.get("ids", []):
            self.reference.push(RefJob(job_id, queue, 0, 0))
        return multiple(*answer.get("ids", [])[:2])

    @rule(queue=queues, count=st.sampled_from([1, 2, 3, 100]), lease_ms=st.sampled_from([2_500, 5_000]))
    def pull(self, queue: str, count: int, lease_ms: int) -> None:
        answer = self.told("pull", queue=queue, count=count, lease_ms=lease_ms)
        jobs = answer["jobs"] if count != 1 else [answer["job"]] if answer["job"] else []
        assert [job["id"] for job in jobs] == self.reference.pull(queue, count, lease_ms)
        for job in jobs:
            known = self.reference.jobs[job["id"]]
            assert (job["fence"], job["attempt"]) == (known.fence, known.attempt)
            known.token = job["attempt_token"]
            self.tokens.append(job["attempt_token"])

    @rule(
        job_id=jobs,
        verb=st.sampled_from(["ack", "fail", "heartbeat"]),
        which=st.sampled_from(["own", "none", "any"]),
        any_=st.integers(0, 99),
    )
    def speak(self, job_id: str, verb: str, which: str, any_: int) -> None:
        job = self.reference.jobs[job_id]
        token = {"own": job.token, "none": None, "any": self.tokens[any_ % len(self.tokens)]}[which]
        answer = self.told(verb, id=job_id, **({} if token is None else {"attempt_token": token}))
        self.agree(answer, self.reference.speak(verb, job, token))

    @rule(
        job_id=jobs,
        verb=st.sampled_from(["cancel", "job_remove", "job_retry", "job_promote", "job_priority"]),
        priority=st.integers(-1, 1),
    )
    def manage(self, job_id: str, verb: str, priority: int) -> None:
        job = self.reference.jobs[job_id]
        if verb == "job_priority":
            expected = self.reference.prioritise(job, priority)
        elif verb in ("cancel", "job_remove"):
            expected = self.reference.cancel(job) if verb == "cancel" else self.reference.remove(job)
        else:
            expected = self.reference.retry(job, promote=verb == "job_promote")
        self.agree(self.told(verb, id=job_id, **({"priority": priority} if verb == "job_priority" else {})), expected)

    @rule(queue=queues, mode=st.sampled_from(["reject", "hold", "both", "normal"]))
    def set_mode(self, queue: str, mode: str) -> None:
        self.told("queue_settings", queue=queue, mode=mode)
        self.reference.modes[queue] = mode

    @rule(queue=queues)
    def drain(self, queue: str) -> None:
        # What a removed parent lets free may go or stay, so only queues whose ready jobs nobody waits for are drained.
        ready = {job.id for job in self.reference.jobs.values() if (job.queue, job.state) == (queue, WAITING)}
        if any(job.state == BLOCKED and job.pending & ready for job in self.reference.jobs.values()):
            return
        known = self.told("queue_drain", queue=queue)["ok"]
        assert known or not any(job.queue == queue for job in self.reference.jobs.values())
        self.reference.drain(queue)

    @rule(after_ms=half_seconds)
    def wait(self, after_ms: int) -> None:
        self.rig.wait(after_ms)
        self.reference.wait(after_ms)

    @rule(after_ms=half_seconds)
    def time_passes_without_a_tick(self, after_ms: int) -> None:
        self.rig.now_ms += after_ms
        self.reference.now_ms += after_ms

    @rule()
    def restart(self) -> None:
        self.rig.reopen()

    @invariant()
    def every_job_is_in_the_same_state(self) -> None:
        if not hasattr(self, "rig"):
            return
        for job in self.reference.jobs.values():
            if job.state == GONE:
                assert self.rig.state(job.id) == GONE
                continue
            shown = self.rig.job(job.id)
            expected = (job.state, job.attempt, job.fence, job.priority)
            assert (shown["state"], shown["attempt"], shown["fence"], shown["priority"]) == expected
        for queue in QUEUES:
            assert self.rig.counts(queue) == self.reference.counts(queue)

    @invariant()
    def no_job_is_leased_twice(self) -> None:
        if hasattr(self, "rig"):
            active = [job.id for job in self.reference.jobs.values() if job.state == ACTIVE]
            assert sorted(self.rig.machine.state.leases) == sorted(
                bytes.fromhex(text.replace("-", "")) for text in active
            )


TestMachineAgainstReference = MachineAgainstReference.TestCase
TestMachineAgainstReference.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
