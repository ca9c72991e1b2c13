"""Structured logs: one event a line, as JSON for machines or as text for people.

It must not know what is logged. Everybody logs with the standard library: the message is a constant, the data are in
`extra`. Invariant: a line never holds a payload or a token, because nobody passes one; a value that is not plain is
shown as its text.
"""

import datetime
import logging
from typing import Final, TextIO

import msgspec

_LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}
_OWN_ATTRIBUTES: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `event`, the fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time_of(record),
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "logger": record.name,
            "event": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class PrettyLines(logging.Formatter):
    """Time, level, event and the fields as `key=value`; an exception on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, record.levelname.lower())
        parts = [_time_of(record), f"{level.upper():5}", record.name, record.getMessage()]
        parts += [f"{name}={_on_one_line(value)}" for name, value in fields_of(record).items()]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _on_one_line(value: object) -> str:
    """A value as text. What a client chose may hold line ends and escape codes: then it is quoted."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`."""
    return {name: value for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES}


class LogStream(logging.StreamHandler[TextIO]):
    """Where the log of this program goes, and how loud the process was before."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.level_before = logging.getLogger().level


def start_logging(level: str, line_format: str, stream: TextIO) -> LogStream:
    """Send the log of this program to `stream`. Returns the handler, for `stop_logging`."""
    handler = LogStream(stream)
    handler.setFormatter(JsonLines() if line_format == "json" else PrettyLines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    return handler


def stop_logging(handler: LogStream) -> None:
    """Leave the logging of this process as it was before."""
    root = logging.getLogger()
    root.removeHandler(handler)
    root.setLevel(handler.level_before)
    handler.flush()


def _time_of(record: logging.LogRecord) -> str:
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
