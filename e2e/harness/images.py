"""Builds the repository's Dockerfile without a Docker engine. Needs root and buildah.

`python -m e2e.harness.images` builds it and prints the archive, which `docker load` and containerd take.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from e2e.harness.binaries import cache_root
from e2e.harness.debian import DebianFault
from e2e.harness.debian_python import base_layer

ROOT = Path(__file__).resolve().parent.parent.parent
# What the Dockerfile copies; .dockerignore lets nothing else through.
CONTEXT = ("Dockerfile", ".dockerignore", ".ci/sbom.py", "LICENSE", "README.md", "pyproject.toml", "requirements")
CONTEXT_PACKAGES = ("rustqueue", "operator")
NAME = "docker.io/library/rustqueue"
BASE = "localhost/debian-python:12"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_DEADLINE_S = 900
ARCHIVES_KEPT = 4
IMAGES_KEPT = 100


class ImageFault(Exception):
    """The image cannot be built here; the sentence says why."""


def context_key(root: Path) -> str:
    """A name for everything that goes into the image."""
    digest = hashlib.sha256()
    folders = [*(root / name for name in CONTEXT), *(root / name for name in CONTEXT_PACKAGES)]
    files = {path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))}
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Buildah:
    """One store of images in the cache, apart from any other of the machine."""

    def __init__(self, store: Path) -> None:
        if os.geteuid() != 0:
            raise ImageFault("building an image without a Docker engine needs root")
        if shutil.which("buildah") is None:
            raise ImageFault("buildah is not installed (Debian: apt install buildah)")
        self._words = ["buildah", "--root", str(store / "images"), "--runroot", str(store / "run")]

    def run(self, *arguments: str | Path) -> str:
        words = [*self._words, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False)
        if done.returncode != 0:
            raise ImageFault(f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def has(self, name: str) -> bool:
        return bool(self.run("images", "--quiet", "--filter", f"reference={name}"))


def copy_context(folder: Path) -> None:
    """All that an image is built from, so that a test can change it."""
    for name in (*CONTEXT, *CONTEXT_PACKAGES):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, target)


def build(tag: str = "dev", root: Path = ROOT) -> Path:
    """The image of a checkout as an archive under the name NAME:tag; nothing is done if the same was built before."""
    folder = cache_root() / "image"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"rustqueue-{tag}-{context_key(root)}.tar"
    # Two that want the same image: the second finds what the first has built.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            archive.touch()
        else:
            _build(folder, f"{NAME}:{tag}", archive, root)
    return archive


def _build(folder: Path, name: str, archive: Path, root: Path) -> None:
    buildah = Buildah(folder)
    if not buildah.has(BASE):
        _make_base(buildah, base_layer(folder))
    words = [
        "build",
        "--isolation",
        "chroot",
        "--layers",
        "--build-arg",
        f"BASE_IMAGE={BASE}",
        "--tag",
        name,
    ]
    buildah.run(*words, *_pip_arguments(), root)
    unfinished = folder / "unfinished.tar"
    unfinished.unlink(missing_ok=True)
    buildah.run("push", name, f"docker-archive:{unfinished}:{name}")
    unfinished.rename(archive)
    _forget_old(buildah, folder)


def _make_base(buildah: Buildah, layer: Path) -> None:
    container = buildah.run("from", "scratch")
    buildah.run("add", container, layer, "/")
    buildah.run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--env", "LANG=C.UTF-8", container)
    buildah.run("commit", "--rm", container, BASE)


def _pip_arguments() -> list[str]:
    """How pip reaches its index on this machine. Only the build stage sees it."""
    words = []
    if index := os.environ.get("PIP_INDEX_URL"):
        words += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if CERTIFICATES.exists():
        # A network that opens connections to look inside has an authority of its own among those of the machine.
        words += ["--volume", f"{CERTIFICATES}:/etc/ssl/machine.crt:ro", "--build-arg", "PIP_CERT=/etc/ssl/machine.crt"]
    return words


def _forget_old(buildah: Buildah, folder: Path) -> None:
    """Layers of earlier sources serve the next build; a hundred of them serve nobody."""
    if len(buildah.run("images", "--all", "--quiet").split()) > IMAGES_KEPT:
        buildah.run("rmi", "--prune", "--force")
    archives = sorted(folder.glob("rustqueue-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[ARCHIVES_KEPT:]:
        archive.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", default="dev")
    try:
        print(build(parser.parse_args().tag))
    except (ImageFault, DebianFault) as fault:
        raise SystemExit(str(fault)) from None


if __name__ == "__main__":
    main()
