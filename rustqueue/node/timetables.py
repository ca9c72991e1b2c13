"""Schedules between the parts: as the duty reads them, and their payloads as the rules of queues see them.

It must not decide what is due. Invariant: a job of a schedule meets the schema of its queue before it is proposed, as
every pushed job does.
"""

from collections.abc import Iterator

from rustqueue.gateway.preparing import Prepared, Preparing
from rustqueue.gateway.schemas import PayloadRules
from rustqueue.machine.machine import Machine
from rustqueue.machine.schedules import reads
from rustqueue.model.commands import PushJobs
from rustqueue.model.errors import ApiError
from rustqueue.model.schedules import ScheduleRun, Standing


class ScheduleRows:
    """The schedules of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._rules = PayloadRules(machine.payload_schema)

    def standing(self, name: str) -> Standing | None:
        return reads.standing(self._machine.view(), name)

    def standings(self, after: str | None, count: int) -> Iterator[tuple[str, Standing | None]]:
        return reads.standings(self._machine.view(), after, count)

    def refusal(self, standing: Standing) -> str | None:
        """Why the job of a schedule may not be pushed."""
        if self._machine.payload_schema(standing.queue) is None:
            return None
        try:
            self._check(standing.timing.name)
        except ApiError as error:
            return f"{error.code}: {error.message}"
        return None

    def preparing(self) -> Preparing:
        """A run that a client asks for is checked at the door, as a push is."""
        return {ScheduleRun: self._checked}

    def _checked(self, command: ScheduleRun) -> Prepared:
        self._check(command.name)
        return Prepared(command)

    def _check(self, name: str) -> None:
        found = reads.job_of(self._machine.view(), name)
        if found is not None:
            queue, job = found
            self._rules.check(PushJobs(queue, [job], True))
