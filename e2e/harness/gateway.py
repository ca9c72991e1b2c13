"""A real server that speaks S3, with a folder behind it: the Versity gateway, built from its Go module into the cache.

It has one user. Moto's server, which is there at once and knows rights, stands for S3 where nothing may be compiled.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Final

from e2e.harness.binaries import BuildFault
from e2e.harness.control_plane import LOOPBACK
from e2e.harness.object_store import BUCKET, START_DEADLINE_S, environment_of, writable_cache
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

RECIPE: Final = Path(__file__).resolve().parent.parent / "objects" / "gateway"
PACKAGE: Final = "github.com/versity/versitygw/cmd/versitygw"
# A minute and a half of processor time from nothing; what it needs comes over the network.
BUILD_DEADLINE_S: Final = 1_200


def program() -> Path:
    """The server; built first if it is not there."""
    digest = hashlib.sha256(b"".join((RECIPE / name).read_bytes() for name in ("go.mod", "go.sum")))
    folder = writable_cache() / "objects" / f"gateway-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    server = folder / "versitygw"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not server.exists():
            _build(folder / "unfinished", server)
    return server


def _build(unfinished: Path, server: Path) -> None:
    if shutil.which("go") is None:
        raise BuildFault("Go is not installed; its version has to be at least the one in e2e/objects/gateway/go.mod")
    words = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(unfinished), PACKAGE]
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        words, cwd=RECIPE, env=env, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False
    )
    if done.returncode != 0:
        raise BuildFault(f"{' '.join(words)}: {done.stderr[-2_000:]}")
    unfinished.rename(server)


class Gateway:
    """With one bucket and one key. `host` is where it listens."""

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        self.key_id, self.secret = "backup", secrets.token_hex(16)
        port = free_port(host=host)
        self.address = f"http://{host}:{port}"
        # Beside the objects, since not every file system keeps attributes of files.
        self._objects, self._about = folder / "objects", folder / "about-objects"
        words: list[str | Path] = [program(), "--quiet", "--health", "/health", "--port", f"{host}:{port}"]
        words += ["posix", "--sidecar", self._about, self._objects]
        keys = {"ROOT_ACCESS_KEY_ID": self.key_id, "ROOT_SECRET_ACCESS_KEY": self.secret}
        self._program = Program("gateway", words, folder / "gateway.log", keys)

    def start(self) -> None:
        # A folder at the top is a bucket.
        (self._objects / BUCKET).mkdir(parents=True)
        self._about.mkdir()
        self._program.start()
        until("the gateway to answer", self._answers, START_DEADLINE_S)

    def stop(self) -> None:
        self._program.stop()

    def environment(self, **other: str) -> dict[str, str]:
        return environment_of(self, **other)

    def _answers(self) -> bool:
        self._program.must_run()
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
