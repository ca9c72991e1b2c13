"""A real node against the naive reference, asked in process, over HTTP and over TCP: the same answers, the same jobs.

The node's clock is the real one, so nothing here comes due by itself: leases, delays and back-offs last an hour, and
only a promotion ends them. A usual run is short; continuous integration runs the one that looks ten times as far too.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.conformance.protocols import Asking, Json, asking
from tests.property.reference import GONE, Reference, RefJob
from tests.unit.tcp_client import a_node

QUEUES = ("a", "b")
HOUR_MS = 3_600_000
PATIENT: Json = {"backoff": "fixed", "backoff_delay_ms": HOUR_MS}
STATUS = {"QUEUE_PAUSED": 503, "DUPLICATE_KEY": 409, "INVALID_STATE": 409, "STALE_ATTEMPT": 409, GONE: 404}
queues = st.sampled_from(QUEUES)
options = st.fixed_dictionaries(
    {"backoff_delay_ms": st.sampled_from([0, HOUR_MS])},
    optional={
        "priority": st.integers(-1, 1),
        "lifo": st.just(True),
        "delay_ms": st.just(HOUR_MS),
        "max_attempts": st.integers(1, 2),
        "unique_key": st.sampled_from("uv"),
        "remove_on_complete": st.just(True),
        "remove_on_fail": st.just(True),
    },
)


class NodeAgainstReference(RuleBasedStateMachine):
    """One node and one connection for each example. `way` is how it is asked."""

    way = "process"
    jobs = Bundle("jobs")

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.reference = Reference(0)
        self.tokens: list[str] = ["nobody's"]
        self.client = self.runner.run(self._open())

    async def _open(self) -> Asking:
        self._node = a_node()
        node = await self._node.__aenter__()
        self._asking = asking(self.way, node)
        return await self._asking.__aenter__()

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.runner.run(self._close())
            self.runner.close()

    async def _close(self) -> None:
        await self._asking.__aexit__(None, None, None)
        await self._node.__aexit__(None, None, None)

    def told(self, verb: str, **fields: Any) -> Json:
        status, body = self.runner.run(self.client.ask(verb, fields))
        if status is not None and not body["ok"] and "error" in body:
            assert status == STATUS.get(body["error"]["code"], 400)
        return dict(body)

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
        fields = {**wanted, "depends_on": parents, "on_parent_failure": policy, "backoff": "fixed"}
        refusal = self.reference.refuses(queue, wanted.get("unique_key"), parents)
        answer = self.told("push", queue=queue, name="n", data=wanted, **fields)
        self.agree(answer, refusal or "ok")
        if refusal is not None:
            return multiple()
        renamed = {("backoff_ms" if key == "backoff_delay_ms" else key): value for key, value in wanted.items()}
        unique = list(dict.fromkeys(parents))
        self.reference.push(RefJob(answer["id"], queue, 0, 0, parents=unique, policy=policy, **renamed))
        return answer["id"]

    @rule(target=jobs, queue=queues, count=st.sampled_from([0, 1, 2, 70]))
    def push_batch(self, queue: str, count: int) -> Any:
        refusal = self.reference.refuses(queue, None, [])
        answer = self.told("push_batch", queue=queue, jobs=[{"name": "n", "data": None, **PATIENT}] * count)
        self.agree(answer, refusal or "ok")
        for job_id in answer.get("ids", []):
            self.reference.push(RefJob(job_id, queue, 0, 0, backoff_ms=HOUR_MS))
        return multiple(*answer.get("ids", [])[:2])

    @rule(queue=queues, count=st.sampled_from([0, 1, 2, 3, 100]))
    def pull(self, queue: str, count: int) -> None:
        answer = self.told("pull", queue=queue, count=count, lease_ms=HOUR_MS)
        jobs = answer["jobs"] if count != 1 else [answer["job"]] if answer["job"] else []
        assert [job["id"] for job in jobs] == self.reference.pull(queue, count, HOUR_MS)
        for job in jobs:
            known = self.reference.jobs[job["id"]]
            assert (job["fence"], job["attempt"], job["state"]) == (known.fence, known.attempt, "active")
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
        fields: Json = {} if token is None else {"attempt_token": token}
        answer = self.told(verb, id=job_id, **fields, **({"error": "e"} if verb == "fail" else {}))
        self.agree(answer, self.reference.speak(verb, job, token))

    @rule(batch=st.lists(jobs, min_size=1, max_size=4, unique=True), verb=st.sampled_from(["ack", "fail"]))
    def speak_of_many(self, batch: list[str], verb: str) -> None:
        error = {"error": "e"} if verb == "fail" else {}
        answer = self.told(f"{verb}_batch", items=[{"id": job_id, **error} for job_id in batch])
        for job_id, result in zip(batch, answer["results"], strict=True):
            assert result["id"] == job_id
            self.agree(result, self.reference.speak(verb, self.reference.jobs[job_id], None))
        assert answer["ok"] is all(result["ok"] for result in answer["results"])

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

    def listed(self) -> list[Json]:
        """All jobs, page by page."""
        page = self.told("job_list", limit=250, order="asc")
        jobs: list[Json] = page["jobs"]
        while page["next_cursor"] is not None:
            page = self.told("job_list", limit=250, order="asc", cursor=page["next_cursor"])
            jobs += page["jobs"]
        return jobs

    @rule(queue=queues, mode=st.sampled_from(["reject", "hold", "both", "normal"]))
    def pause(self, queue: str, mode: str) -> None:
        if mode == "normal":
            self.told("queue_resume", queue=queue)
        else:
            self.told("queue_pause", queue=queue, mode=mode)
        self.reference.modes[queue] = mode

    @invariant()
    def every_job_is_in_the_same_state(self) -> None:
        if not hasattr(self, "client"):
            return
        known = [job for job in self.reference.jobs.values() if job.state != GONE]
        shown = {job["id"]: (job["state"], job["attempt"], job["fence"], job["priority"]) for job in self.listed()}
        assert shown == {job.id: (job.state, job.attempt, job.fence, job.priority) for job in known}
        for queue in QUEUES:
            answer = self.told("stats", queue=queue)
            assert {state: count for state, count in answer["counts"].items() if count} == self.reference.counts(queue)
            assert answer["mode"] == self.reference.modes.get(queue, "normal")


class OverHttp(NodeAgainstReference):
    way = "http"


class OverTcp(NodeAgainstReference):
    way = "tcp"


# The machine has its own, larger test; here each example costs a node and many round trips.
SHORT = settings(max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(SHORT, max_examples=120)

WAYS = [NodeAgainstReference, OverHttp, OverTcp]


@pytest.mark.parametrize("asked", WAYS)
def test_a_node_does_what_the_reference_does(asked: type[NodeAgainstReference]) -> None:
    run_state_machine_as_test(asked, settings=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("asked", WAYS)
def test_a_node_does_what_the_reference_does_for_long(asked: type[NodeAgainstReference]) -> None:
    run_state_machine_as_test(asked, settings=LONG)
