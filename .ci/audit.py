"""Ask the advisory service about every locked package and say how many it could answer for.

A known vulnerability fails. A service that cannot be reached (a closed network, a mirror without advisories) does not,
but it is said plainly: "nothing was audited" must not look like "nothing was found".

Usage: audit.py LOCK_FILE
"""

import json
import subprocess
import sys
from typing import Any

ATTEMPTS = ["pypi", "osv"]  # the services that the tool knows; the second is asked when the first cannot answer
DEADLINE_S = 300


def ask(service: str, lock: str) -> list[dict[str, Any]] | None:
    """One record per package, or None when the service gave no answer at all."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", lock]
    command += ["-s", service, "-f", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError) as error:
        print(f"{service}: no answer ({type(error).__name__})")
        return None
    return packages


def main(lock: str) -> int:
    for service in ATTEMPTS:
        packages = ask(service, lock)
        if packages is None:
            continue
        audited = [package for package in packages if "skip_reason" not in package]
        vulnerable = [package for package in audited if package["vulns"]]
        print(f"{service}: {len(audited)} of {len(packages)} packages audited, {len(vulnerable)} vulnerable")
        for package in vulnerable:
            for found in package["vulns"]:
                print(f"  {package['name']} {package['version']}: {found['id']}, fixed in {found['fix_versions']}")
        if vulnerable:
            return 1
        if audited:
            return 0
    print("NOT AUDITED: no advisory service can be reached from this network")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
