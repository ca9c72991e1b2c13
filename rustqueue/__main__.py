"""`python -m rustqueue` and the `rustqueue` program are the same thing."""

import sys

from rustqueue.cli.program import run


def main() -> int:
    """Entry point of the installed program."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
