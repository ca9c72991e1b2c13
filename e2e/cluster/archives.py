"""Images of one static program, written by hand: what a node needs before it can run anything."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO

PAUSE = "docker.io/local/pause:1"
COREDNS = "docker.io/local/coredns:1"
SOURCE = Path(__file__).resolve().parent / "pause.c"
COMPILE_DEADLINE_S = 120
OCI = "application/vnd.oci.image"


def pause_image(cache: Path) -> Path:
    """The process that holds the namespaces of a pod."""
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "pause"
    if not program.exists():
        words = ["cc", "-Os", "-static", "-s", "-o", str(program), str(SOURCE)]
        subprocess.run(words, check=True, timeout=COMPILE_DEADLINE_S)
    return image_of(cache / "pause.tar", PAUSE, program)


def image_of(archive: Path, name: str, program: Path) -> Path:
    """An image with one program and nothing else, as an archive that containerd imports under this name."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as work, tarfile.open(archive, "w") as out:
        layer = Path(work, "layer.tar")
        with tarfile.open(layer, "w") as tar:
            tar.add(program, program.name, filter=_plain)
        with layer.open("rb") as data:
            described = _blob(out, data, "layer.v1.tar")
        config = _json_blob(
            out,
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": [f"/{program.name}"]},
                "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
            },
            "config.v1+json",
        )
        body = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": [described]}
        manifest = _json_blob(out, body, "manifest.v1+json")
        manifest["annotations"] = {"io.containerd.image.name": name}
        _file(out, "index.json", {"schemaVersion": 2, "manifests": [manifest]})
        _file(out, "oci-layout", {"imageLayoutVersion": "1.0.0"})
    return archive


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime, info.uid, info.gid, info.mode = 0, 0, 0, 0o755
    return info


def _blob(out: tarfile.TarFile, data: IO[bytes], media: str) -> dict[str, object]:
    digest = hashlib.sha256(data.read()).hexdigest()
    info = tarfile.TarInfo(f"blobs/sha256/{digest}")
    info.size = data.seek(0, os.SEEK_END)
    data.seek(0)
    out.addfile(info, data)
    return {"mediaType": f"{OCI}.{media}", "digest": f"sha256:{digest}", "size": info.size}


def _json_blob(out: tarfile.TarFile, value: object, media: str) -> dict[str, object]:
    return _blob(out, io.BytesIO(json.dumps(value).encode()), media)


def _file(out: tarfile.TarFile, name: str, value: object) -> None:
    data = json.dumps(value).encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    out.addfile(info, io.BytesIO(data))
