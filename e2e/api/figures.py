"""What the tests measured by the way, for docs/evidence: a line each, with how busy the machine was."""

import json
import os

from e2e.load.running import out_folder

FILE = "figures.jsonl"


def note(what: str, **figures: float) -> None:
    out_folder().mkdir(parents=True, exist_ok=True)
    line = {"what": what, **{name: round(value, 2) for name, value in figures.items()}, "load": os.getloadavg()[0]}
    with (out_folder() / FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")
