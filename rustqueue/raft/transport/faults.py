"""What goes wrong at the peer port: counted by kind, and logged with what to do, but not more often than helps.

It must not know sockets. Invariants: every fault is counted; of one kind (and one peer that we dial) at most one line
is logged in ten seconds, and it says how many were not; what a stranger says reaches the log only as short printable
text.
"""

import logging
from collections.abc import Callable
from typing import Final, Literal, get_args

log: Final = logging.getLogger("rustqueue.raft.transport")

Fault = Literal[
    "unreachable",  # Nobody answers where a peer should be.
    "tls",  # The handshake failed, or its certificate is not the right one.
    "plain",  # One side speaks TLS, the other does not.
    "late",  # No valid hello in time.
    "malformed",  # Not a frame of ours, or not one that may stand there.
    "oversized",  # A length above the limit.
    "replayed",  # A second hello on one connection.
    "refused_by_us",
    "refused_by_peer",
    "crowded",  # Too many connections.
    "replaced",  # A newer connection of the same peer took over.
    "unread",  # The peer does not take what it is sent.
    "accept",  # The system has no more connections to give.
    "credentials",  # Changed certificate files cannot be used.
    "unsendable",  # A message of ours that makes no frame: a defect.
]

ADVICE: Final[dict[Fault, str]] = {
    "unreachable": "see that the peer runs, that its address is right and that no network policy is in the way",
    "tls": "see that all certificates come from `tls_ca`, have not expired and carry their `node_id` as a DNS name",
    "plain": "see that either all nodes have `tls_cert`, `tls_key` and `tls_ca`, or all have `insecure = true`",
    "late": "whoever connects must say hello in time; see who connects, and whether the node is overloaded",
    "malformed": "only nodes of this cluster may connect to the peer port; see who connects",
    "oversized": "only nodes of this cluster may connect to the peer port; see who connects",
    "replayed": "only nodes of this cluster may connect to the peer port; see who connects",
    "refused_by_us": "the reason says what to do at the peer",
    "refused_by_peer": "the reason says what to do here",
    "crowded": "only nodes of this cluster may connect to the peer port; see who connects",
    "replaced": "if it goes on: two nodes run with one `node_id`",
    "unread": "the peer is overloaded or hangs; look at its log and load",
    "accept": "raise the limit of open files (`ulimit -n`)",
    "credentials": "the files that were good before stay in use; put good ones in place",
    "unsendable": "this is a defect: report it",
}

QUIET_S: Final = 10.0
_TEXT_MAX: Final = 300


class Faults:
    """`counts` has every kind from the start, for whoever makes metrics of it."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self.counts: dict[Fault, int] = dict.fromkeys(get_args(Fault), 0)
        self._monotonic_s = monotonic_s
        self._spoke_s: dict[tuple[Fault, str], float] = {}
        self._withheld: dict[tuple[Fault, str], int] = {}

    def note(self, fault: Fault, detail: object, *, peer: str = "", address: str = "") -> None:
        """`peer` is the name of one that we dial: strangers choose theirs, and have no line of their own for it."""
        self.counts[fault] += 1
        key, now_s = (fault, peer), self._monotonic_s()
        spoke_s = self._spoke_s.get(key)
        if spoke_s is not None and now_s - spoke_s < QUIET_S:
            self._withheld[key] = self._withheld.get(key, 0) + 1
            return
        self._spoke_s[key] = now_s
        fields = {"fault": fault, "detail": printable(str(detail)), "advice": ADVICE[fault]}
        if peer:
            fields["peer"] = peer
        if address:
            fields["address"] = address
        log.warning("peer link", extra={**fields, "withheld": self._withheld.pop(key, 0)})

    def forget(self, peer: str) -> None:
        """A peer that is no longer dialled has no lines to withhold."""
        for key in [key for key in self._spoke_s if key[1] == peer and peer]:
            del self._spoke_s[key]
            self._withheld.pop(key, None)


def printable(text: str) -> str:
    """One line without control characters, not long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_MAX])
