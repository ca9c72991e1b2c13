"""Commands that this node forwarded and that a leader has placed: their replies come out of this node's own apply.

It must not know who forwarded what, nor why. Invariant: whoever expects a reply is told once.
"""

from collections.abc import Callable
from typing import Final

from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import Refused, Reply

_unknown_outcome: Final = Refused.of(Unavailable.unknown_outcome())


class Placements:
    """Who waits for the reply of which place in the log."""

    def __init__(self, applied_index: Callable[[], int]) -> None:
        self._applied_index = applied_index
        self._expected: dict[int, list[tuple[int, int, Callable[[Reply | None], None]]]] = {}

    def expect(self, index: int, ordinal: int, term: int, done: Callable[[Reply | None], None]) -> bool:
        """Tell the reply of the command placed there, or None if another leader's entry came to stand there.

        False: the entry has been applied already, so that nobody can tell any more.
        """
        if index <= self._applied_index():
            return False
        self._expected.setdefault(index, []).append((term, ordinal, done))
        return True

    def awaits(self, index: int) -> bool:
        """Whether anybody waits for a reply of this entry."""
        return index in self._expected

    def applied(self, index: int, term: int, replies: list[Reply]) -> None:
        """`replies` may be empty for an entry that nobody waited for when its apply began."""
        if self._expected:
            for placed_term, ordinal, done in self._expected.pop(index, ()):
                if placed_term != term:
                    done(None)
                else:
                    done(replies[ordinal] if replies else _unknown_outcome)

    def lost_up_to(self, index: int, reply: Reply) -> None:
        """The entries were not applied here, their result came as a whole."""
        for at in [at for at in self._expected if at <= index]:
            for _, _, done in self._expected.pop(at):
                done(reply)
