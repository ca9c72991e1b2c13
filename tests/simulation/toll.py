"""What it costs or meets just now to apply an entry on one node.

It must not know machines. It outlives processes; what is to be met is met once.
"""

from collections.abc import Callable


class Toll:
    """Asked before every entry."""

    def __init__(self) -> None:
        self.apply_us = 0
        """So long it takes."""
        self.error: Exception | None = None
        """The next entry meets it."""
        self.elapse: Callable[[int], None] = lambda duration_us: None

    def pay(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        if self.apply_us:
            self.elapse(self.apply_us)
