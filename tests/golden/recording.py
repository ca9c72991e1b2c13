"""What a golden log is, how one is made, and how it is replayed.

A line holds one entry, base64 of its stored form, and the state hash that a machine has after it. Recorded logs are
never changed by a later version: a version that must act differently raises the entry's version and keeps both ways.
"""

import base64
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rustqueue.machine.audit import audit
from rustqueue.machine.machine import Machine
from rustqueue.machine.schedules.reads import standings
from rustqueue.model.entry import ENTRY_VERSION, decode_entry, encode_entry
from rustqueue.storage.memory import MemoryKV
from tests.property.scripts import SCHEDULE_VERBS, VERBS, Script, Step
from tests.unit.factories import Rig, plain

FOLDER: Final = Path(__file__).parent
RELEASES: Final = FOLDER / "releases"
ENTRIES_COUNT: Final = 300
_SEED: Final = 20_261_122
_HEAD: Final = "# golden log, version {version}: one line an entry, base64 and the state hash after it"


def logs() -> list[Path]:
    """That of the present version, and those of all releases."""
    return [*sorted(FOLDER.glob("*.log")), *sorted(RELEASES.glob("*.log"))]


def release(version: str, folder: Path = RELEASES) -> Path:
    """Keep the present log as that of a release, for ever. Raises `FileExistsError`: a released log never changes."""
    path = folder / f"{version}.log"
    with path.open("x", encoding="ascii") as file:
        file.write((FOLDER / f"v{ENTRY_VERSION}.log").read_text(encoding="ascii"))
    return path


def lines_of(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Stored entries, and the hash after each."""
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            entry, digest = line.split(" ")
            yield base64.b64decode(entry, validate=True), bytes.fromhex(digest)


def replay(path: Path) -> tuple[Machine, list[str]]:
    """A machine that has applied the log, and what went otherwise than recorded."""
    machine, wrong = Machine(kv := MemoryKV()), []
    for index, (stored, digest) in enumerate(lines_of(path), 1):
        machine.apply(index, decode_entry(stored))
        if machine.state_hash != digest:
            wrong.append(f"entry {index} of {path.name}: hash {machine.state_hash.hex()}, recorded {digest.hex()}")
            break
    return machine, wrong + audit(kv)


def record(version: int) -> str:
    """Play a long random script with every verb and write down what was applied."""
    # The numbers must be the same for ever, so they come from a generator with a fixed seed: no secrets here.
    dice = random.Random(_SEED)
    rig, script = Rig(), Script()
    common = [
        *VERBS,
        *SCHEDULE_VERBS,
        *SCHEDULE_VERBS,
        *("push", "push_batch", "pull_many", "ack_batch", "fail", "wait") * 3,
    ]
    rare = ("configure", "trim", "queue_delete", "members", "feature_level")
    verbs = [verb for verb in common * 3 if verb not in rare] + [*rare]
    lines = [_HEAD.format(version=version)]
    for _ in range(ENTRIES_COUNT):
        steps: list[Step] = [(dice.choice(verbs), dice.randrange(1_000), dice.randrange(1_000)) for _ in range(3)]
        commands = []
        for step in steps:
            rig.now_ms += script.pause_ms(step)
            commands.append(script.command(step))
        for reply in rig.apply(*commands):
            script.learn(plain(reply))
        script.turns = {name: known.turn for name, known in standings(rig.kv, None, 10) if known is not None}
        entry = base64.b64encode(encode_entry(rig.log[-1])).decode("ascii")
        lines.append(f"{entry} {rig.machine.state_hash.hex()}")
    return "\n".join(lines) + "\n"
