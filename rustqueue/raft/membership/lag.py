"""How old what a member holds is, from where the log ended when.

It must not know members beyond their names, nor a clock: the time comes as an argument. Invariant: the lag is never
told too small by more than the time between two looks.
"""

from collections import deque
from collections.abc import Mapping

from rustqueue.model import limits


class LagWatch:
    """Told at every look where the log ends and what each member holds of it."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, int]] = deque(maxlen=limits.LAG_SAMPLES_MAX)
        self._lags_ms: dict[str, int] = {}
        self._steady_since_ms: dict[str, int] = {}

    def look(self, now_ms: int, last_index: int, matched: Mapping[str, int]) -> None:
        self._ends.append((now_ms, last_index))
        self._lags_ms = {member: self._lag_ms(now_ms, index) for member, index in matched.items()}
        for member, lag_ms in self._lags_ms.items():
            if lag_ms > limits.LEARNER_LAG_MS or not matched[member]:
                self._steady_since_ms.pop(member, None)
            else:
                self._steady_since_ms.setdefault(member, now_ms)
        for gone in self._steady_since_ms.keys() - matched.keys():
            del self._steady_since_ms[gone]

    def _lag_ms(self, now_ms: int, index: int) -> int:
        """Since the last look at which the log did not reach further than the member's does now."""
        for at_ms, end in reversed(self._ends):
            if end <= index:
                return now_ms - at_ms
        return now_ms - self._ends[0][0]

    def lag_ms(self, member: str) -> int:
        """0 for who is not known."""
        return self._lags_ms.get(member, 0)

    def has_caught_up(self, member: str, now_ms: int) -> bool:
        """The lag has been small for a moment: a member that caught up by chance would fall behind as a voter."""
        since_ms = self._steady_since_ms.get(member)
        return since_ms is not None and now_ms - since_ms >= limits.LEARNER_STEADY_MS
