"""Cuts what a client sends into messages: lines, and the original's binary frames between them.

It must not know what a message says. Invariants: a line is never longer than its limit; the first byte of a message
says of which kind it is; a client that sends lines only pays for frames with one comparison a line.
"""

from collections.abc import Sequence
from typing import Final

from rustqueue.model.errors import TooLarge
from rustqueue.tcp.frames import STARTS, Frame, Reading, reading

_ABOVE_STARTS: Final = bytes((max(STARTS) + 1,))


class MessageBuffer:
    """Lines come without their ends; blank lines are no lines."""

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._partial = bytearray()
        self._has_frames = False
        self._searched = 0
        """No end of a line stands before this place."""
        self._reading: Reading | None = None
        self._wanted = 0

    @property
    def partial_bytes(self) -> int:
        """Bytes of a message that has begun and is not complete."""
        return len(self._partial) or int(self._reading is not None)

    def feed(self, data: bytes) -> Sequence[bytes | Frame]:
        """The messages that `data` completes. Raises `TooLarge` or `FrameBroken`; nothing can be read after that."""
        if self._has_frames:
            return self._feed_mixed(data)
        lines = data.split(b"\n")
        tail = lines.pop()
        # Such a byte begins no JSON text: it may begin a frame, and then ends of lines mean nothing in it.
        if (lines and min(lines) < _ABOVE_STARTS) or (tail and tail < _ABOVE_STARTS):
            self._has_frames = True
            return self._feed_mixed(data)
        if lines and self._partial:
            self._partial += lines[0]
            lines[0] = bytes(self._partial)
            self._partial.clear()
        if tail:
            self._partial += tail
        longest_bytes = max(map(len, lines), default=0)
        if longest_bytes > self._line_bytes_max or len(self._partial) > self._line_bytes_max:
            raise TooLarge("line", self._line_bytes_max)
        if b"" in lines or b"\r" in lines:
            return [line for line in lines if line not in (b"", b"\r")]
        return lines

    def _feed_mixed(self, data: bytes) -> list[bytes | Frame]:
        partial = self._partial
        partial += data
        messages: list[bytes | Frame] = []
        at = 0
        while at < len(partial):
            if self._reading is None and partial[at] in STARTS:
                self._begin(partial[at])
                at += 1
            message, at = self._frame(at) if self._reading is not None else self._line(at)
            if message is None:
                break
            if message != b"":
                messages.append(message)
        del partial[:at]
        return messages

    def _begin(self, start: int) -> None:
        self._reading = reading(start)
        self._wanted = next(self._reading)

    def _frame(self, at: int) -> tuple[Frame | None, int]:
        """Give the frame that is being read its bytes; None until it has all."""
        assert self._reading is not None, "a frame has begun"
        partial = self._partial
        while len(partial) - at >= self._wanted:
            end = at + self._wanted
            try:
                self._wanted = self._reading.send(bytes(partial[at:end]))
            except StopIteration as ended:
                self._reading = None
                return ended.value, end
            at = end
        return None, at

    def _line(self, at: int) -> tuple[bytes | None, int]:
        partial = self._partial
        end = partial.find(b"\n", max(at, self._searched))
        if (len(partial) if end < 0 else end) - at > self._line_bytes_max:
            raise TooLarge("line", self._line_bytes_max)
        if end < 0:
            self._searched = len(partial) - at
            return None, at
        self._searched = 0
        line = bytes(partial[at:end])
        return (b"" if line == b"\r" else line), end + 1
