"""`python -m tests.contract [FORM...]`: plays the contract's cases, in all our own forms by default."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.contract.cases import CASES
from tests.contract.forms import FORMS, OURS, problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("forms", nargs="*", metavar="FORM", help=f"one of: {', '.join(FORMS)}")
    parser.add_argument("--only", default="", help="cases whose name or rows hold this text")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.forms) - set(FORMS)):
        parser.error(f"there is no form {unknown[0]}; there are {', '.join(FORMS)}")
    chosen = {name: case for name, case in CASES.items() if asked.only in f"{name}, {case.rows}"}
    failed = 0
    for form in asked.forms or OURS:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rustqueue-contract.") as folder:
            count, wrong = asyncio.run(problems(form, Path(folder), cases=chosen))
        for text in wrong:
            print(f"\n{text}")
        print(f"{form}: {count} plays, {len(wrong)} wrong, {time.monotonic() - begun:.0f} s", flush=True)
        failed += len(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
