"""`python -m rustqueue` and the `rustqueue` program are the same thing."""

import io
import sys

from rustqueue.cli.program import run


def main() -> int:
    """Entry point of the installed program."""
    for stream in (sys.stdout, sys.stderr):
        # Payloads hold any text, a terminal may know ASCII only: what it cannot show is escaped, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
