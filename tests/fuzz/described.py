"""Requests generated from the description of the API, right ones and wrong ones, over HTTP and as lines over TCP.

`python -m tests.fuzz.described --protocol http|tcp|jobs --cases N [--seed S] [--record]` (`make fuzz` runs all).
`jobs` are the second system's routes.

Every answer must have a status that the description names, a body of the described shape, and a code that docs/api.md
lists; nothing may be answered with 5xx but what says that it is passing. Schemathesis makes the cases, each is sent
again in nine variants; queues and ids are mostly such as there are, so that more than the front door is tried.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.errors import InvalidSchema as SchemaError

from rustqueue.client import Client
from rustqueue.settings.sections import WebhooksSettings
from tests.chaos import evidence
from tests.fuzz.answers import HttpJudge, LineJudge, Verdict
from tests.fuzz.variants import QUEUES, AnyCase, Variants
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

MODES = {"right": GenerationMode.POSITIVE, "wrong": GenerationMode.NEGATIVE}
_KEPT_IDS = 200
_ROUND = 100
_VARIANTS = 9  # Of each case that Schemathesis makes.


@dataclass
class Findings:
    """What came of all cases. `problems` keeps one example of each kind."""

    tally: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, verdict: Verdict, case: AnyCase) -> None:
        self.tally["cases"] += 1
        self.tally[f"{kind}: {verdict.label}"] += 1
        for problem in verdict.problems:
            self.tally["problems"] += 1
            key = f"{case.method} {case.path}: {problem[:160]}"
            self.problems.setdefault(key, f"{case.as_curl_command()}\n    answered {verdict.shown}")


def _judged(kind: str, judge: Callable[[AnyCase], Verdict], findings: Findings, case: AnyCase) -> None:
    findings.add(kind, judge(case), case)


class Cases:
    """Makes cases of every operation in turn."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        schema = schemathesis.openapi.from_dict(document)
        self.operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
        self.variants = Variants(seed)
        self._seed = seed

    def run(self, count: int, judge: Callable[[AnyCase], Verdict], findings: Findings) -> None:
        """`count` cases in all, in rounds over all operations and both modes."""
        strategies = [
            (kind, operation.as_strategy(generation_mode=mode))
            for operation in self.operations
            for kind, mode in MODES.items()
        ]
        turn = 0
        while findings.tally["cases"] < count:
            kind, strategy = strategies[turn % len(strategies)]
            left = min(_ROUND, count - findings.tally["cases"])
            try:
                self._round(strategy, left, turn, partial(_judged, kind, judge, findings))
            except (Unsatisfiable, SchemaError):
                # Some operations have no wrong cases, since everything they take is right.
                findings.tally[f"{kind}: none could be made"] += 1
            turn += 1

    def _round(self, strategy: Any, count: int, turn: int, take: Callable[[AnyCase], None]) -> None:
        @seeded(self._seed + turn)
        @settings(
            max_examples=-(-count // (1 + _VARIANTS)),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(case: AnyCase) -> None:
            self.variants.settle(case)
            take(case)
            for _ in range(_VARIANTS):
                self.variants.change(case)
                take(case)

        one()

    def learn(self, answer: Any) -> None:
        """Remember the ids of an answer for later cases."""
        found = [answer.get("id")] if isinstance(answer, dict) else []
        found += [job.get("id") for job in answer] if isinstance(answer, list) else []
        for job in (answer.get("jobs") or []) if isinstance(answer, dict) else []:
            found.append(job.get("id"))
        variants = self.variants
        variants.known = [*[text for text in found if isinstance(text, str)], *variants.known][:_KEPT_IDS]


def run(ports: Ports, protocol: str, cases: int, seed: int) -> Findings:
    """Raises nothing: what is wrong is in the findings. `jobs` is HTTP too, by the other description."""
    from tests.openapi import document, second

    described = second.document() if protocol == "jobs" else document.document()
    maker, findings = Cases(described, seed), Findings()
    with Client(ports.url("http")) as client:
        for queue in QUEUES[:2]:
            if protocol == "jobs":
                client.put_queue(queue, payload_schema={})  # A kind that every payload fits.
            maker.variants.known += client.push_batch(
                queue, [{"name": "n", "data": {"x": number}} for number in range(20)]
            )
    judged_by = second.with_nulls(described) if protocol == "jobs" else described
    judge = LineJudge(described, ports) if protocol == "tcp" else HttpJudge(judged_by, ports)
    with warnings.catch_warnings(), judge:
        warnings.simplefilter("ignore")

        def judged(case: AnyCase) -> Verdict:
            verdict = judge(case)
            maker.learn(verdict.body)
            return verdict

        maker.run(cases, judged, findings)
    return findings


def a_node(folder: Path) -> AbstractContextManager[Ports]:
    """A node with everything switched on. That no case makes it call somebody else is left to its own guard."""
    given = msgspec.structs.replace(node_settings(folder), webhooks=WebhooksSettings(enabled=True))
    return node_in_thread(given)


def report(findings: Findings) -> Iterator[str]:
    for name, count in sorted(findings.tally.items()):
        yield f"{name:50} {count:8,}"
    for key, example in findings.problems.items():
        yield f"\n{key}\n    {example}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["http", "tcp", "jobs"], default="http")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, a_node(Path(folder)) as ports:
        findings = run(ports, options.protocol, options.cases, options.seed)
    seconds = time.monotonic() - started
    print("\n".join(report(findings)))
    if options.record:
        evidence.record(
            "fuzz",
            {f"{options.protocol} {name}": count for name, count in findings.tally.items()},
            options.seed,
            seconds,
        )
    count = f"{findings.tally['cases']:,} cases over {options.protocol} in {seconds:.0f} s"
    print(f"{count}, {len(findings.problems)} kinds of problem")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
