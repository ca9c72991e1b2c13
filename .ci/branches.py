"""Gate on branch coverage alone: the total that coverage prints mixes lines with branches and hides missed ones.

Usage: branches.py COVERAGE_JSON PERCENT_MIN [OF_WHAT]
"""

import json
import sys
from pathlib import Path


def main(report: str, percent_min: str, what: str = "the machine") -> int:
    files = json.loads(Path(report).read_text())["files"]
    total = sum(file["summary"]["num_branches"] for file in files.values())
    covered = sum(file["summary"]["covered_branches"] for file in files.values())
    percent = 100 * covered / total if total else 100.0
    for name, file in sorted(files.items()):
        for source, target in file["missing_branches"]:
            print(f"{name}:{source}: never went to {'the exit' if target < 0 else f'line {target}'}")
    enough = percent >= float(percent_min)
    print(f"branches of {what}: {covered} of {total} = {percent:.1f}% (at least {percent_min}%)")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
