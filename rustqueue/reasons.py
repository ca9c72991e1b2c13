"""What the operating system refused, as a person reads it: the file and the reason, without numbers and quotes.

It must not know what was tried; whoever tried says that in front.
"""


def reason_of(error: BaseException) -> str:
    """`/data/x: Permission denied` for an error of the operating system, its text for any other."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
