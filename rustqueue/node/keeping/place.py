"""The folder of a node's data, before anything is in it.

It must not know what lies in the folder.
"""

import os

from rustqueue.raft.ports import Disk
from rustqueue.reasons import reason_of


def data_folder(disk: Disk, path: str) -> str:
    """Its absolute path; it is made if it is not there. Raises `OSError` with the whole sentence."""
    folder = os.path.abspath(path)
    advice = "give another one with --data (storage.path)"
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OSError(f"the data folder {folder} is a file: {advice}")
    try:
        disk.make_dir(folder)
    except OSError as error:
        raise OSError(f"cannot make the data folder {folder}: {reason_of(error)}: {advice}") from error
    return folder
