"""Several steps as one piece of work inside one process: one behind the other, or side by side (contract A24).

It must not know jobs or nodes: a handler runs a workflow as it would call a function. What has to outlive the process
or to run on another machine is a job of its own, with `depends_on` or follow-ups. Invariants: a workflow does not
change once it is made; when a step fails, those beside it are stopped before the error is told.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self

Join = Callable[[list[Any]], Any]
"""Makes one value of the results of steps that ran side by side, in the order of the steps."""


class WorkflowStep(Protocol):
    """One step; `engine` says by what it runs, for people who read an error."""

    def engine(self) -> str: ...

    async def execute(self, value: Any) -> Any:
        """The value for the next step."""
        ...


@dataclass(frozen=True, slots=True)
class _Stage:
    steps: tuple[WorkflowStep, ...]
    join: Join | None
    """None for a stage of one step, whose result goes on as it is."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """`Workflow().then(fetch).fan_out([small, large]).execute(url)`. Each method gives a longer workflow."""

    _stages: tuple[_Stage, ...] = ()

    def then(self, step: WorkflowStep) -> Self:
        """A step that gets what the stage before it made."""
        return self._with(_Stage((step,), None))

    def fan_out(self, steps: Iterable[WorkflowStep]) -> Self:
        """Steps that run at the same time on the same value; the list of their results goes on, in their order."""
        return self.fan_out_with_join(steps, list)

    def fan_out_with_join(self, steps: Iterable[WorkflowStep], join: Join) -> Self:
        """The same, but what `join` makes of the list goes on. Raises `ValueError` for no steps."""
        side_by_side = tuple(steps)
        if not side_by_side:
            raise ValueError("a fan-out needs at least one step")
        return self._with(_Stage(side_by_side, join))

    async def execute(self, value: Any) -> Any:
        """What the last stage makes, or `value` if there is none. The first error of a step ends it all."""
        for number, stage in enumerate(self._stages, 1):
            results = await _side_by_side(number, stage.steps, value)
            value = results[0] if stage.join is None else stage.join(results)
        return value

    def _with(self, stage: _Stage) -> Self:
        return type(self)((*self._stages, stage))


async def _side_by_side(number: int, steps: tuple[WorkflowStep, ...], value: Any) -> list[Any]:
    if len(steps) == 1:
        return [await _run(number, steps[0], value)]
    running = [asyncio.create_task(_run(number, step, value)) for step in steps]
    try:
        return await asyncio.gather(*running)
    finally:
        # Not a task group: it would tell a group of errors, and the caller of a step wants the step's own.
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run(number: int, step: WorkflowStep, value: Any) -> Any:
    try:
        return await step.execute(value)
    except Exception as error:
        error.add_note(f"in stage {number} of a workflow, engine '{step.engine()}'")
        raise
