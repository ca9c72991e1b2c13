"""The mark of a restore that was not finished: no node starts on such a folder."""

import os

UNFINISHED = "restoring"
"""A folder inside the data folder, where a restore puts everything together."""


class UnfinishedRestore(Exception):
    """A restore into this folder was cut off."""


def refuse_unfinished(folder: str) -> None:
    if os.path.exists(f"{folder}/{UNFINISHED}"):
        raise UnfinishedRestore(
            f"{folder}: a restore into this folder was not finished. Run `rustqueue restore` again; it begins anew."
        )
