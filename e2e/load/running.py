"""The load of a scenario, seen from outside: a pod that is started, told to end, and read."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until
from rustqueue.history.figures import PUSHES
from rustqueue.history.lines import Call, Event, decode_line, encode_line
from rustqueue.history.report import History, judge_history
from rustqueue.history.verdict import Problem

CLIENT = Path(__file__).resolve().parent / "client.py"
NAME = "load"
HISTORY, STOP, DONE = "/out/history.jsonl", "/out/stop", "/out/done"
START_DEADLINE_S = 60
END_DEADLINE_S = 400
SERVED_DEADLINE_S = 60
SERVED_CALLS = 50
RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@dataclass(frozen=True)
class Target:
    """Where clients go: a service of the namespace, and the Secret with the token, if one is asked for."""

    image: str
    service: str
    port: int = 6789
    token_secret: str | None = None
    token_key: str = "token"


@dataclass(frozen=True)
class Outcome:
    """What came of a load.

    `gap_s` is the longest time between two acknowledged pushes of all clients together, `client_gap_s` of one client,
    which holds the patience of a client whose node went silent.
    """

    calls: int
    pushed: int
    completed: int
    gap_s: float
    client_gap_s: float
    problems: list[Problem]
    broken: list[str]

    def summary(self) -> Object:
        return {**self.__dict__, "problems": [f"{each.kind}: {each.text}" for each in self.problems]}


@dataclass
class Load:
    """Begins with the making of the pod. What the scenario does to the cluster is noted into the same history."""

    kubectl: Kubectl
    target: Target
    node: str | None = None
    prefix: str = ""
    events: list[Event] = field(default_factory=list)

    def start(self) -> None:
        self.kubectl.apply(self._script(), self._pod())
        until("the load to make calls", self._was_served, START_DEADLINE_S, every=0.3)

    def note(self, what: str, **details: Any) -> None:
        """What is done to the cluster is a fault until the next one, for the figures."""
        self.events.append(Event("fault", time.monotonic_ns() // 1_000, {"kind": what, **details}))

    def finish(self, out: Path) -> Outcome:
        """End it, leave the history in the folder, and judge."""
        return leave(self.end(), out)

    def end(self) -> History:
        """End it; what it saw and what was done meanwhile."""
        self.kubectl.run("exec", NAME, "--", "touch", STOP)
        until("the load to end", lambda: self.kubectl.works("exec", NAME, "--", "ls", DONE), END_DEADLINE_S, every=0.5)
        lines = self.kubectl.run("exec", NAME, "--", "cat", HISTORY).splitlines()
        self.kubectl.run("delete", "pod", NAME, "--wait=false")
        history = read_lines(lines)
        assert history.complete, f"the load wrote no state: {self.kubectl.run('logs', NAME)[-2000:]}"
        history.events += self.events
        return history

    def go_on(self) -> None:
        """Until clients are served again, for a while."""
        before = self._successes()
        until("clients to be served", lambda: self._successes() >= before + SERVED_CALLS, SERVED_DEADLINE_S, every=0.5)

    def _successes(self) -> int:
        return int(self.kubectl.run("exec", NAME, "--", "sh", "-c", f"grep -c '\"ok\":true' {HISTORY} || true"))

    def _was_served(self) -> bool:
        return self.kubectl.works("exec", NAME, "--", "grep", "-q", '"ok":true', HISTORY)

    def _script(self) -> Object:
        data = {"client.py": CLIENT.read_text()}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data}

    def _pod(self) -> Object:
        words = f"python /load/client.py {self.target.service} {self.target.port} {STOP} {self.prefix} > {HISTORY}"
        environment = []
        if self.target.token_secret is not None:
            source = {"name": self.target.token_secret, "key": self.target.token_key}
            environment = [{"name": "RUSTQUEUE_TOKEN", "valueFrom": {"secretKeyRef": source}}]
        container = {
            "name": NAME,
            "image": self.target.image,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", f"{words}; touch {DONE}; sleep 3600"],
            "env": environment,
            "securityContext": RESTRICTED,
            "volumeMounts": [{"name": "load", "mountPath": "/load"}, {"name": "out", "mountPath": "/out"}],
        }
        spec: Object = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
            "volumes": [{"name": "load", "configMap": {"name": NAME}}, {"name": "out", "emptyDir": {}}],
        }
        if self.node is not None:
            spec["nodeName"] = self.node
        labels = {"app.kubernetes.io/name": "load"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": labels}, "spec": spec}


def leave(history: History, out: Path) -> Outcome:
    """Write a history into a folder and judge it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "history.jsonl").open("wb") as file:
        file.writelines(map(encode_line, history.lines()))
    state = history.snapshot
    (out / "state.json").write_text(json.dumps({"jobs": state.jobs, "counts": state.counts}))
    outcome = outcome_of(history)
    (out / "outcome.json").write_text(json.dumps(outcome.summary(), indent=1) + "\n")
    return outcome


def read_lines(lines: Iterable[str]) -> History:
    history = History()
    for text in lines:
        history.add(decode_line(text.encode()))
    return history


def outcome_of(history: History) -> Outcome:
    """Judged by what `rustqueue check HISTORY` asks."""
    report, problems = judge_history(history)
    pushes = [call for call in history.calls if call.request["cmd"] in PUSHES and answered(call)]
    clients = {call.client for call in pushes}
    of_each = [longest_gap_s([call for call in pushes if call.client == client]) for client in clients]
    if report.undecided:
        problems.append(Problem("wrong", f"{report.undecided} jobs could not be decided"))
    return Outcome(
        calls=len(history.calls),
        pushed=len(pushes),
        completed=sum(job["state"] == "completed" for job in history.snapshot.jobs.values()),
        gap_s=longest_gap_s(pushes),
        client_gap_s=max(of_each, default=0.0),
        problems=[problem for problem in problems if problem.text not in history.nonsense],
        broken=history.nonsense,
    )


def longest_gap_s(calls: Iterable[Call]) -> float:
    ends = sorted(call.end_us for call in calls)
    return max((later - earlier for earlier, later in pairwise(ends)), default=0) / 1e6


def answered(call: Call) -> bool:
    return call.reply is not None and bool(call.reply["ok"])


def out_folder() -> Path:
    """Where scenarios leave what they saw; not in the repository."""
    named = os.environ.get("RUSTQUEUE_E2E_OUT")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "out"
