"""The original's command lines (contract A20), to be typed to its program and to ours: what both have to show.

A word `QUEUE` stands for the queue of the run, `JOB` for the job that its first command has pushed.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Command(NamedTuple):
    words: tuple[str, ...]
    shows: str
    """A pattern for a line, or for several, of the output."""


def _words(text: str, *more: str) -> tuple[str, ...]:
    return (*text.split(), *more)


COMMANDS: Final = (
    Command(_words("push --queue QUEUE --name n --data", '{"a": 1}'), _UUID.pattern),
    Command(_words("push --queue QUEUE --name n"), _UUID.pattern),
    Command(_words("status"), r"^QUEUE +2 +0 +0 +0 +0 +0 *$"),
    Command(_words("inspect JOB"), r'^ +"a": 1\n'),
    Command(_words("inspect JOB"), r'^ +"state": "waiting",$'),
    Command(_words("schedules create --name QUEUE-i --queue QUEUE --job-name n --every-ms 3600000"), "QUEUE-i|every"),
    Command(
        _words("schedules create --name QUEUE-c --queue QUEUE --job-name n --data", '{"b": 2}', "--cron", "0 3 1 1 *"),
        "QUEUE-c|when",
    ),
    Command(_words("schedules list"), r"^QUEUE-c +QUEUE .*0 3 1 1 \*"),
    Command(_words("schedules list"), r"^QUEUE-i +QUEUE .*every 3600000 ?ms"),
    Command(_words("schedules pause QUEUE-c"), "paused"),
    Command(_words("schedules resume QUEUE-c"), "resumed|active"),
    Command(_words("schedules delete QUEUE-c"), "QUEUE-c"),
    Command(_words("schedules delete QUEUE-i"), "QUEUE-i"),
)

Shell = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a program with words; gives its exit code and what it printed."""


def problems(shell: Shell, queue: str, port: int) -> list[str]:
    """Type them all, telling where the node is once before and once behind an action."""
    found, job_id = [], ""
    for number, command in enumerate(COMMANDS):
        words = [word.replace("QUEUE", queue).replace("JOB", job_id) for word in command.words]
        where = ["--host", "127.0.0.1", "--http-port", str(port)]
        # The original takes these flags of a group before the action only, and those of a command behind it.
        words = [words[0], *where, *words[1:]] if words[0] == "schedules" else [*words, *where]
        code, output = shell(words)
        if code != 0 or re.search(command.shows.replace("QUEUE", re.escape(queue)), output, re.MULTILINE) is None:
            found.append(f"{' '.join(words)}: exit code {code}, {output!r} lacks {command.shows!r}")
        if number == 0 and (pushed := _UUID.search(output)) is not None:
            job_id = pushed[0]
    return found
