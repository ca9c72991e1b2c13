"""The forms in which the cases are played: one node, through a follower, over the death of all nodes, the original.

The last form is no play of cases: the original's own program, typed at as people do, talks to a node of ours.
"""

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from tests.contract import commands, stages
from tests.contract.agree import ONLY_HTTP, original
from tests.contract.cases import CASES
from tests.contract.play import Play, played, plays_of
from tests.contract.table import Case, Stage, Way
from tests.unit.webhook_receiver import a_receiver

WAYS: Final = get_args(Way)
STAGES: Final = get_args(Stage)
OURS: Final = ("node", "follower", "node restart", "cluster restart")
FORMS: Final = (*OURS, "original", "original commands")
COMMAND_S: Final = 60.0
CLUSTER: Final = 3


def cases_of(form: str, cases: dict[str, Case]) -> dict[str, Case]:
    """The original is asked what the decisions did not change."""
    return {name: case for name, case in cases.items() if form != "original" or not case.differs}


async def problems(
    form: str, folder: Path, ways: Sequence[str] = WAYS, cases: dict[str, Case] = CASES
) -> tuple[int, list[str]]:
    """How many plays there were, and what was wrong with them."""
    if form == "original commands":
        return await _typed(folder)
    count, wrong = 0, []
    async with a_receiver() as receiver:
        for stage in STAGES:
            chosen = {name: case for name, case in cases_of(form, cases).items() if case.stage == stage}
            plays = plays_of(chosen, ways, receiver, ONLY_HTTP if form == "original" else frozenset())
            if plays:
                await _staged(form, folder / stage.replace(" ", "-"), stage, plays)
            count += len(plays)
            wrong += [play.failure for play in plays if play.failure]
    return count, wrong


async def _typed(folder: Path) -> tuple[int, list[str]]:
    program = str(stages.original_program())

    def shell(words: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=COMMAND_S, check=False)
        return done.returncode, done.stdout + done.stderr

    async with stages.nodes(folder, 1, "plain", {}) as running:
        wrong = await asyncio.to_thread(commands.problems, shell, "typed", running.places[0].http_port)
    return len(commands.COMMANDS), wrong


async def _staged(form: str, folder: Path, stage: Stage, plays: list[Play]) -> None:
    rates = {queue: rate for play in plays for queue, rate in play.rates.items()}
    if form == "original":
        async with stages.the_original(folder, stages.original_program(), stage, rates) as running:
            await played(((play, None) for play in plays), running.places, original)
        return
    async with stages.nodes(folder, 1 if form.startswith("node") else CLUSTER, stage, rates) as running:
        if form.endswith("restart"):
            await played(((play, _half(play)) for play in plays), running.places)
            await running.kill_all_and_start()
        await played(((play, None) for play in plays), running.places)


def _half(play: Play) -> int:
    """Where the kill falls: in the middle, after at least one answer that has to be kept."""
    steps = len(play.case.steps)
    return steps if play.case.whole else max(1, steps // 2)
