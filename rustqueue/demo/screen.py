"""What the demo shows: one line of progress that is drawn over itself on a terminal, and the final table.

Text in, text out; the clock is an argument. Nothing is wider than 79 characters, so that a line never wraps.
"""

import math
from collections.abc import Callable, Sequence
from typing import TextIO

WIDTH = 79
BAR_CELLS = 32
REDRAW_S = 0.1
LINE_EVERY_S = 2.0


def bar(pushed: int, acknowledged: int, total: int, *, plain: bool) -> str:
    """Acknowledged, pushed and still missing jobs as one bar."""
    done, sent, empty = ("#", "=", ".") if plain else ("█", "▒", "·")
    done_cells = acknowledged * BAR_CELLS // total if total else 0
    sent_cells = max(done_cells, math.ceil(pushed * BAR_CELLS / total)) if total else 0
    return done * done_cells + sent * (sent_cells - done_cells) + empty * (BAR_CELLS - sent_cells)


def facts_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows of name, value and remark; values to the right."""
    names = max(len(name) for name, _, _ in rows)
    values = max(len(value) for _, value, _ in rows)
    return "\n".join(
        f"  {name.ljust(names)}  {value.rjust(values)}  {remark}".rstrip()[:WIDTH] for name, value, remark in rows
    )


class Screen:
    """Draws over one line on a terminal; elsewhere prints a line every few seconds, so that a log stays readable."""

    def __init__(self, out: TextIO, clock_s: Callable[[], float]) -> None:
        self._out = out
        self._clock_s = clock_s
        self._terminal = out.isatty()
        self._plain = "utf" not in (getattr(out, "encoding", None) or "").lower()
        self._drawn_s = -math.inf
        self._open_line = False

    def say(self, text: str = "") -> None:
        """A line that stays."""
        if self._open_line:
            self._out.write("\r" + " " * WIDTH + "\r")
            self._open_line = False
        self._out.write(text + "\n")
        self._out.flush()

    def draw(self, pushed: int, acknowledged: int, total: int, remark: str, *, last: bool = False) -> None:
        """The progress; calls that come too soon after each other are left out."""
        now_s = self._clock_s()
        pause_s = REDRAW_S if self._terminal else LINE_EVERY_S
        if not last and now_s - self._drawn_s < pause_s:
            return
        self._drawn_s = now_s
        percent = acknowledged * 100 // total if total else 100
        line = f"  {bar(pushed, acknowledged, total, plain=self._plain)} {acknowledged:>6,}/{total:,} {percent:>3}%"
        line = f"{line}  {remark}"[:WIDTH]
        if not self._terminal:
            self._out.write(line + "\n")
        else:
            self._out.write("\r" + line.ljust(WIDTH) + ("\n" if last else ""))
            self._open_line = not last
        self._out.flush()
