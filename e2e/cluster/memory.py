"""Where nodes keep unpacked images: in memory, because a busy disk takes a minute to delete ten thousand small files.

What pods write to their volumes stays on disk.
"""

from pathlib import Path

from e2e.cluster.network import attempt, call

SOURCE = "rq-e2e-images"
SIZE = "6g"


def mount(folder: Path) -> None:
    """What an earlier run that was killed has left is removed first."""
    unmount()
    folder.mkdir(parents=True)
    call("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", SOURCE, str(folder))


def unmount() -> None:
    for line in Path("/proc/mounts").read_text().splitlines():
        source, place, *_ = line.split()
        if source == SOURCE:
            attempt("umount", "--lazy", place)
