"""An object store that speaks S3 and checks signatures: moto's server, in an environment of its own in the cache.

With it in the environment of the tests, its libraries would bind the versions that the product uses.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Protocol

from e2e.harness.binaries import cache_root
from e2e.harness.control_plane import LOOPBACK
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

LOCK = Path(__file__).resolve().parent.parent / "objects" / "requirements.txt"
INSTALL_DEADLINE_S = 600
START_DEADLINE_S = 60
BUCKET = "backups"
# Until there is somebody who may do anything: a user, its key, its rights, the bucket.
FREE_CALLS = 4
# The server finds out by its scope which service a call is for.
SCOPE = "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=none"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'


def program() -> Path:
    """The server; installed first if it is not there."""
    # What an environment links to may be gone, or be another Python.
    whose = f"{sys.version}{sys.base_prefix}".encode()
    folder = writable_cache() / "objects" / hashlib.sha256(LOCK.read_bytes() + whose).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    server = folder / "venv" / "bin" / "moto_server"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists() or not (server.parent / "python").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder / "venv"))
            _run(str(server.parent / "pip"), "install", "--quiet", "--require-hashes", "-r", str(LOCK))
            (folder / "made").touch()
    return server


def writable_cache() -> Path:
    """That of the programs, unless another user has made it, who lets us only read."""
    root = cache_root()
    place = next(path for path in (root, *root.parents) if path.exists())
    return root if os.access(place, os.W_OK) else Path(tempfile.gettempdir()) / f"rustqueue-e2e-{os.getuid()}"


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"


class Store(Protocol):
    """A server that speaks S3. Its keys are known once it answers."""

    address: str
    key_id: str
    secret: str

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def environment(self, **other: str) -> dict[str, str]: ...


def environment_of(store: Store, **other: str) -> dict[str, str]:
    """For whoever uses it, with nothing of what this machine may have for a real one."""
    mine = {
        "AWS_ENDPOINT_URL": store.address,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": store.key_id,
        "AWS_SECRET_ACCESS_KEY": store.secret,
    }
    rest = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**rest, **mine, **other}


class ObjectStore:
    """With one bucket and one key that may use it. `host` is where it listens."""

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        port = free_port(host=host)
        self.address = f"http://{host}:{port}"
        words: list[str | Path] = [program(), "-H", host, "-p", str(port)]
        counted = {"INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_CALLS)}
        self._program = Program("object-store", words, folder / "object-store.log", counted)
        self.key_id = self.secret = ""

    def start(self) -> None:
        self._program.start()
        until("the object store to answer", self._answers, START_DEADLINE_S)
        self._ask("POST", "/", Action="CreateUser", UserName="backup")
        made = self._ask("POST", "/", Action="CreateAccessKey", UserName="backup")
        named = (re.search(rf"<{name}>([^<]+)<", made) for name in ("AccessKeyId", "SecretAccessKey"))
        self.key_id, self.secret = (found[1] for found in named if found is not None)
        self._ask("POST", "/", Action="PutUserPolicy", UserName="backup", PolicyName="all", PolicyDocument=POLICY)
        self._ask("PUT", f"/{BUCKET}")

    def stop(self) -> None:
        self._program.stop()

    def environment(self, **other: str) -> dict[str, str]:
        return environment_of(self, **other)

    def _ask(self, method: str, path: str, **form: str) -> str:
        request = urllib.request.Request(self.address + path, method=method)
        if form:
            request.add_header("Authorization", SCOPE)
            request.data = urllib.parse.urlencode({**form, "Version": "2010-05-08"}).encode()
        with urllib.request.urlopen(request, timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    def _answers(self) -> bool:
        self._program.must_run()
        try:
            # No call to a service, so that it is not counted.
            with urllib.request.urlopen(f"{self.address}/moto-api/", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
