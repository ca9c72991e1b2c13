"""The known name that a wrong one was most likely meant to be.

It must not know what is named. Invariant: a name that is far too long to be a slip is not compared with any.
"""

import difflib
from collections.abc import Iterable
from typing import Final

_NAME_CHARACTERS_MAX: Final = 128
ALIKE: Final = 0.6


def nearest(name: str, known: Iterable[str], alike: float = ALIKE) -> str | None:
    """The name among `known` that resembles `name` most, by at least `alike` of 1."""
    if len(name) > _NAME_CHARACTERS_MAX:
        return None
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return close[0] if close else None


def advice(name: str, known: Iterable[str], alike: float = ALIKE, *, within: str = "") -> str:
    """`; did you mean 'NAME'?` as the end of a message, or nothing. `within` is put before the name."""
    close = nearest(name, known, alike)
    return f"; did you mean '{within}{close}'?" if close is not None else ""
