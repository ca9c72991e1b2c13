"""kubectl as a black-box test uses it: apply, look, wait. The same object works on any cluster with a kubeconfig."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2e.harness.waiting import until

CALL_DEADLINE_S = 120

# What Kubernetes answers is a tree of whatever it likes; tests pick their leaves out of it.
Object = dict[str, Any]


class Refused(AssertionError):
    """kubectl ended with an error; its text is what a person would have read."""


@dataclass(frozen=True)
class Kubectl:
    """One program, one cluster, one namespace."""

    program: Path | str
    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        return replace(self, namespace=namespace)

    def words(self, *arguments: str | Path) -> list[str]:
        """The whole command line, for callers that start it themselves."""
        return [
            str(self.program),
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={self.namespace}",
            *map(str, arguments),
        ]

    def run(self, *arguments: str | Path, text: str | None = None, seconds: float = CALL_DEADLINE_S) -> str:
        """Its output; an error is raised with all that it said."""
        done = subprocess.run(
            self.words(*arguments), input=text, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode != 0:
            raise Refused(f"kubectl {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def works(self, *arguments: str | Path, text: str | None = None) -> bool:
        try:
            self.run(*arguments, text=text)
        except (Refused, subprocess.TimeoutExpired):
            return False
        return True

    def refusal(self, *arguments: str | Path, text: str | None = None) -> str:
        """The text of an error that has to come."""
        try:
            said = self.run(*arguments, text=text)
        except Refused as refused:
            return str(refused)
        raise AssertionError(f"kubectl {' '.join(map(str, arguments))} was not refused: {said}")

    def json(self, *arguments: str | Path, text: str | None = None) -> Object:
        answer: Object = json.loads(self.run(*arguments, "--output=json", text=text))
        return answer

    def get(self, kind: str, name: str) -> Object:
        return self.json("get", kind, name)

    def find(self, kind: str, name: str) -> Object | None:
        """One object, or nothing if there is none of that name."""
        text = self.run("get", kind, name, "--ignore-not-found", "--output=json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, selector: str = "") -> list[Object]:
        chosen = [f"--selector={selector}"] if selector else []
        found: list[Object] = self.json("get", kind, *chosen)["items"]
        return found

    def apply(self, *objects: Mapping[str, Any], dry: bool = False) -> None:
        """Apply objects; `dry` asks the server for all it would check, and changes nothing."""
        how = ["--dry-run=server"] if dry else []
        self.run("apply", *how, "-f", "-", text=listing(objects))

    def apply_refused(self, *objects: Mapping[str, Any]) -> str:
        return self.refusal("apply", "-f", "-", text=listing(objects))

    def condition(self, kind: str, name: str, condition: str) -> Object:
        """One condition of an object's status; empty when it is not there."""
        found = self.find(kind, name) or {}
        conditions: list[Object] = found.get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == condition), {})

    def wait_account(self) -> None:
        """A new namespace is ready for pods when its ServiceAccount is there."""
        until(f"the ServiceAccount of {self.namespace}", lambda: self.find("serviceaccount", "default"))

    def wait_condition(self, kind: str, name: str, condition: str, status: str = "True", seconds: float = 60) -> Object:
        def probe() -> Object | None:
            found = self.condition(kind, name, condition)
            return found if found.get("status") == status else None

        found = until(f"{kind}/{name} {condition}={status}", probe, seconds)
        assert found is not None
        return found


def listing(objects: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
