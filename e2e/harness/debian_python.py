"""The image that ours is built on where no registry can be reached: Python of Debian 12, out of Debian's packages.

Unpacked without running their scripts, so that no daemon and no package manager is in it: about 60 MB. Needs root.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.harness.debian import download

# What CPython's standard library and common wheels link to; a shell for the lines of a Dockerfile.
PACKAGES = [
    "base-files",
    "netbase",
    "media-types",
    "tzdata",
    "ca-certificates",
    "busybox-static",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libssl3",
    "libffi8",
    "libexpat1",
    "libbz2-1.0",
    "liblzma5",
    "libuuid1",
    "libsqlite3-0",
    "libncursesw6",
    "libtinfo6",
    "libreadline8",
    "libcrypt1",
    "libtirpc3",
    "libnsl2",
    "libcom-err2",
    "libkrb5-3",
    "libk5crypto3",
    "libkrb5support0",
    "libgssapi-krb5-2",
    "libkeyutils1",
    "libdb5.3",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "python3.11-venv",
    "python3-pip-whl",
    "python3-setuptools-whl",
]
REMOVED = ("usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/bug")
TAR = ["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf"]
PACK_DEADLINE_S = 300


def base_layer(cache: Path) -> Path:
    """One archive with the root folder of the base; made once and kept."""
    layer = cache / "debian-python.tar"
    if layer.exists():
        return layer
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        packages, root = Path(work, "packages"), Path(work, "root")
        packages.mkdir()
        download(packages, PACKAGES)
        _unpack(packages, root)
        _finish(root)
        made = Path(work, "layer.tar")
        subprocess.run([*TAR, made, "-C", root, "."], check=True, timeout=PACK_DEADLINE_S)
        made.rename(layer)
    return layer


def _unpack(packages: Path, root: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    listed = root / "var/lib/dpkg/status.d"
    listed.mkdir(parents=True)
    for package in sorted(packages.iterdir()):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as data:
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=data.stdout, check=True)
        # Scanners read what is installed from here when there is no package manager.
        told = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
        (listed / package.name.partition("_")[0]).write_text(told)


def _finish(root: Path) -> None:
    """What the packages' scripts would have done, as far as we need it."""
    subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s"], check=True)
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to("python3.11")
    certificates = root / "etc/ssl/certs/ca-certificates.crt"
    certificates.parent.mkdir(parents=True, exist_ok=True)
    authorities = sorted(root.glob("usr/share/ca-certificates/mozilla/*.crt"))
    certificates.write_bytes(b"".join(authority.read_bytes() for authority in authorities))
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/data:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    subprocess.run(["ldconfig", "-r", root], check=True)
    for name in REMOVED:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
