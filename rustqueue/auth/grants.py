"""What somebody may do: scopes as one question, may he do this verb on that queue.

It must not know which request needs which verb (`rustqueue.gateway.permits`), nor who asks. Invariants: what no scope
allows is refused; `admin` on a queue includes every other verb there; the answers that are remembered are bounded.
"""

from collections.abc import Sequence
from typing import Final

from rustqueue.model.errors import Forbidden
from rustqueue.model.tokens import Scope, ScopeVerb

EVERYWHERE: Final = "*"
_REMEMBERED_MAX: Final = 1_000


class Grants:
    """Scopes ready to be asked. Made once a token, asked with every request."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self._scopes = [(frozenset(scope.verbs), tuple(scope.queues)) for scope in scopes]
        self._remembered: dict[tuple[ScopeVerb, str], bool] = {}
        self.is_full = self.allows_everywhere("admin")

    def allows(self, verb: ScopeVerb, queue: str) -> bool:
        """Whether `verb` may be done on this queue."""
        if self.is_full:
            return True
        key = (verb, queue)
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            known = self._remembered[key] = any(matches(pattern, queue) for pattern in self._patterns(verb))
        return known

    def allows_everywhere(self, verb: ScopeVerb) -> bool:
        """Whether `verb` may be done on all queues that there are or will be."""
        return any(pattern == EVERYWHERE for pattern in self._patterns(verb))

    def allows_somewhere(self, verb: ScopeVerb) -> bool:
        return any(True for _ in self._patterns(verb))

    def require(self, verb: ScopeVerb, queue: str | None) -> None:
        """Raise `Forbidden` unless `verb` may be done on this queue; None means all queues."""
        allowed = self.allows_everywhere(verb) if queue is None else self.allows(verb, queue)
        if not allowed:
            raise Forbidden(verb, queue)

    def _patterns(self, verb: ScopeVerb) -> list[str]:
        return [
            pattern for verbs, patterns in self._scopes if verb in verbs or "admin" in verbs for pattern in patterns
        ]


FULL: Final = Grants([Scope(["admin"], [EVERYWHERE])])
"""Everything, everywhere: an open server, and the tokens of the configuration."""


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern, in which `*` stands for any characters.

    Not a regular expression: a dozen stars would make one try every way to share out the name between them. The parts
    between stars are looked for from the left, each as early as it can stand.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    tail = rest.pop()
    if len(name) < len(head) + len(tail) or not (name.startswith(head) and name.endswith(tail)):
        return False
    at, end = len(head), len(name) - len(tail)
    for part in rest:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
