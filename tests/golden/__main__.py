"""`python -m tests.golden --rewrite`: record the golden log of this version anew; `--release`: keep it for ever.

The log of a released version stays as it is.
"""

import argparse

import rustqueue
from rustqueue.model.entry import ENTRY_VERSION
from tests.golden.recording import FOLDER, logs, record, release, replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--rewrite", action="store_true", help="record the log of this version anew")
    parser.add_argument("--release", action="store_true", help="keep the log as that of this program's version")
    arguments = parser.parse_args()
    if arguments.rewrite:
        path = FOLDER / f"v{ENTRY_VERSION}.log"
        path.write_text(record(ENTRY_VERSION), encoding="ascii")
        print(f"wrote {path.name}, {path.stat().st_size} bytes")
    if arguments.release:
        print(f"kept {release(rustqueue.__version__).name}")
    wrong = [problem for path in logs() for problem in replay(path)[1]]
    for problem in wrong:
        print(problem)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
