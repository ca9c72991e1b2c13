"""The bill of materials that the image carries."""

import json
import subprocess
import sys
from pathlib import Path

from rustqueue import __version__

ROOT = Path(__file__).resolve().parent.parent.parent


def bill_of(root: Path) -> str:
    words = [sys.executable, str(ROOT / ".ci/sbom.py"), str(root)]
    return subprocess.run(words, cwd=root, check=True, capture_output=True, text=True, timeout=60).stdout


def test_it_names_the_program_and_every_installed_distribution_with_its_version(tmp_path: Path) -> None:
    bill = json.loads(bill_of(tmp_path))

    main = bill["metadata"]["component"]
    assert (bill["bomFormat"], bill["specVersion"], main["type"]) == ("CycloneDX", "1.6", "application")
    assert main["purl"] == f"pkg:pypi/rustqueue@{__version__}"
    found = {component["name"]: component["version"] for component in bill["components"]}
    pins = [
        line.split(" ")[0].split("==")
        for line in (ROOT / "requirements/client.txt").read_text().splitlines()
        if "==" in line
    ]
    locked = {name: version for name, version in pins}
    assert {name: found[name] for name in locked if name != "typing-extensions"} == locked


def test_it_names_debian_packages_wherever_their_list_stands(tmp_path: Path) -> None:
    state = tmp_path / "var/lib/dpkg"
    (state / "status.d").mkdir(parents=True)
    (state / "status").write_text(
        "Package: libc6\nVersion: 2.36-9+deb12u14\nArchitecture: amd64\nDescription: C\n two\n\n"
    )
    (state / "status.d/tzdata").write_text("Package: tzdata\nVersion: 2026a-0\nArchitecture: all\n")

    found = [
        component["purl"] for component in json.loads(bill_of(tmp_path))["components"] if ":deb/" in component["purl"]
    ]

    assert found == ["pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64", "pkg:deb/debian/tzdata@2026a-0?arch=all"]


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    assert bill_of(tmp_path) == bill_of(tmp_path)
