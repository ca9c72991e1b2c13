"""Whether a peer is let in: the same questions on both sides of a connection, in one order.

It must not know connections, nor which members there are (that is the policy's, `Admit`). Invariant: whom the policy
is asked about has shown a certificate with that name, where there is TLS at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from rustqueue.model import limits
from rustqueue.raft.links import Admit, Hello
from rustqueue.raft.transport.faults import Fault

_TLS_RECORDS: Final = (0x15, 0x16)  # Alert and handshake.
_TLS_MAJOR: Final = 0x03


class Objection(NamedTuple):
    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class Greeter:
    """`own` is asked at every connection: the cluster id may have been agreed on meanwhile."""

    own: Callable[[], Hello]
    admit: Admit

    def objection(self, hello: Hello, names: frozenset[str] | None, dialled: str | None) -> Objection | None:
        """`names` stand in the certificate (None: no TLS); `dialled` is the name of the peer that was looked for."""
        own = self.own()
        if names is not None and hello.node not in names:
            carried = ", ".join(sorted(names)) or "no DNS name"
            reason = f"the certificate of '{hello.node}' carries {carried}: issue one with its node_id as a DNS name"
            return Objection("tls", _bounded(reason))
        if hello.protocol_oldest > own.protocol or own.protocol_oldest > hello.protocol:
            reason = (
                f"'{hello.node}' speaks protocol {hello.protocol_oldest} to {hello.protocol}, '{own.node}' "
                f"{own.protocol_oldest} to {own.protocol}: bring the older version up to date, one step at a time"
            )
            return Objection("refused_by_us", reason)
        if dialled is not None and not answers_to(hello, dialled):
            reason = f"'{dialled}' was dialled and '{hello.member}' answered: correct the address of '{dialled}'"
            return Objection("refused_by_us", _bounded(reason))
        refusal = self.admit(hello)
        return None if refusal is None else Objection("refused_by_us", _bounded(refusal))


def answers_to(hello: Hello, name: str) -> bool:
    """A name is a member id, a node id (any incarnation), or an address (whoever answers there)."""
    return name in (hello.member, hello.node) or ":" in name


def looks_like_tls(data: bytes) -> bool:
    """Whether these first bytes begin a TLS record. As the length of a greeting they would be far above its limit."""
    return len(data) > 2 and data[0] in _TLS_RECORDS and data[1] == _TLS_MAJOR and data[2] != 0


def _bounded(reason: str) -> str:
    return reason.encode()[: limits.REFUSAL_BYTES_MAX].decode(errors="ignore")
