"""When a call is sent again: decisions only, the shells wait and send. No clock, no dice: both are arguments.

Invariant: a request that may have been carried out is sent again only if carrying it out twice is harmless, because
it carries an idempotency key, an attempt token, or says the same a second time.
"""

from typing import Final, Generic, TypeVar

from rustqueue.client.call import Answer, Call, read_answer
from rustqueue.client.errors import NetworkError, RustQueueError

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 2.0


def pause_s(failures: int, draw: float) -> float:
    """Pause after the n-th failure in a row: doubling, capped, and half of it by chance (`draw` in 0 to 1), so that
    clients cut off together do not come back together.
    """
    full = min(_PAUSE_MAX_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
    return full * (0.5 + 0.5 * draw)


class Attempts(Generic[T]):
    """One call from its first sending to its end. `deadline_s` is on the shell's monotonic clock."""

    __slots__ = ("_failures", "_may_have_arrived", "_reason", "call", "deadline_s", "key")

    def __init__(self, call: Call[T], key: str | None, deadline_s: float) -> None:
        self.call = call
        self.key = key
        self.deadline_s = deadline_s
        self._failures = 0
        self._may_have_arrived = False
        self._reason: RustQueueError | None = None

    def read(self, answer: Answer) -> T:
        """The result. Raises `RustQueueError`."""
        return read_answer(self.call, answer, self._may_have_arrived)

    def pause_after(self, error: RustQueueError, now_s: float, draw: float) -> float:
        """Seconds to wait before the next sending. Raises the error when there is to be none.

        Where only the time was up, the error of the sending before is raised: it says why there is no answer.
        """
        arrived = (isinstance(error, NetworkError) and error.sent) or error.code == "OUTCOME_UNKNOWN"
        self._may_have_arrived = self._may_have_arrived or arrived
        self._failures += 1
        pause = max(pause_s(self._failures, draw), error.retry_after_s or 0.0)
        harmful = arrived and self.call.repeat != "free" and self.key is None
        if not error.passing or harmful or now_s + pause >= self.deadline_s:
            raise self._told(error)
        self._reason = error
        return pause

    def _told(self, error: RustQueueError) -> RustQueueError:
        only_late = isinstance(error, NetworkError) and error.code == "TIMEOUT" and not error.sent
        told = self._reason if only_late and self._reason is not None else error
        if isinstance(told, NetworkError) and self._may_have_arrived:
            told.sent = True  # By an earlier sending, if not by the last.
        return told
