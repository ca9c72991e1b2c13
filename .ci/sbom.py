"""What is in the image, as a CycloneDX bill of materials: Python distributions and Debian packages.

Told by what is installed, not by what was asked for. The same contents give the same bytes: no time, no random number.

Usage: sbom.py [ROOT], run by the Python whose packages are listed; ROOT is where Debian's package lists are looked for.
"""

import json
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

NAME = "rustqueue"
Component = dict[str, Any]


def python_component(distribution: Distribution) -> Component:
    name = distribution.metadata["Name"].lower().replace("_", "-")
    purl = f"pkg:pypi/{name}@{distribution.version}"
    found = {"type": "library", "bom-ref": purl, "name": name, "version": distribution.version, "purl": purl}
    expression = distribution.metadata.get("License-Expression")
    return {**found, "licenses": [{"expression": expression}]} if expression else found


def debian_stanzas(root: Path) -> Iterator[dict[str, str]]:
    """One record a package; distributions without a package manager keep one file a package instead of one for all."""
    state = root / "var/lib/dpkg"
    files = [state / "status", *sorted((state / "status.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix == ".md5sums":
            continue
        for stanza in file.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            fields = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
            yield {key: value for key, _, value in fields}


def debian_component(stanza: dict[str, str]) -> Component:
    name, version, architecture = stanza["Package"], stanza["Version"], stanza.get("Architecture", "all")
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill(root: Path) -> Component:
    """The whole document."""
    installed = {each["bom-ref"]: each for each in map(python_component, distributions())}
    for stanza in debian_stanzas(root):
        if {"Package", "Version"} <= stanza.keys():
            component = debian_component(stanza)
            installed[component["bom-ref"]] = component
    itself = next((ref for ref in installed if ref.startswith(f"pkg:pypi/{NAME}@")), "")
    main = {**installed.pop(itself), "type": "application"} if itself else {"type": "application", "name": NAME}
    components = [installed[ref] for ref in sorted(installed)]
    content = json.dumps([main, components], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": main},
        "components": components,
    }


if __name__ == "__main__":
    print(json.dumps(bill(Path(sys.argv[1] if len(sys.argv) > 1 else "/")), indent=1))
