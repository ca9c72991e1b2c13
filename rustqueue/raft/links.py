"""The port between the replicated log and the network: who a peer says it is, and links that carry messages.

It must not know sockets (`rustqueue.raft.transport` has the real links, tests/simulation the simulated ones), nor what
a message means. Invariants of the port:
- between two members there is one ordered stream a direction: what comes was sent once, in this order, and a stream
  that replaces an older one ends it before its first message;
- nothing comes from a peer that was not let in by `Admit`, and under TLS its node id stands in its certificate;
- every callback runs on the loop and never inside a call of the log to its links.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

from rustqueue.model.cluster.requests import NodeId as NodeId
from rustqueue.model.cluster.requests import PeerAddress as Address
from rustqueue.raft.messages import Message

NO_CLUSTER: Final = bytes(16)
"""The cluster id of a node that belongs to none yet."""


class Hello(Struct, array_like=True, tag="hello", frozen=True):
    """The first frame of each side. Fields are added at the end and never go, so that all versions can read the start.

    `protocol` is what the node speaks, `protocol_oldest` what it still understands; `incarnation` tells a node that
    lost its disk from what it was before; `address` is where others reach it.
    """

    protocol: Annotated[int, Meta(ge=0, lt=2**31)]
    protocol_oldest: Annotated[int, Meta(ge=0, lt=2**31)]
    cluster: Annotated[bytes, Meta(min_length=16, max_length=16)]
    node: NodeId
    incarnation: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    address: Address

    @property
    def member(self) -> str:
        return member_id(self.node, self.incarnation)


def member_id(node: str, incarnation: int) -> str:
    """Node id and incarnation as one name; the first incarnation of a node is called like the node itself."""
    return f"{node}#{incarnation}" if incarnation else node


Admit = Callable[[Hello], str | None]
"""The policy: None lets the peer in, a text is sent to it as the reason why not and says what its operator can do."""


class Links(Protocol):
    """One link to each peer for what this node sends, and one from each peer for what comes."""

    on_message: Callable[[str, Message], None]
    """From which member, and what. It must not raise: whatever it raises is a bug, and the connection is lost."""

    on_up: Callable[[str], None]
    """What is sent to this peer now has a link to travel on."""

    on_down: Callable[[str], None]
    """That link is gone, and with it whatever was on its way. Comes once after each `on_up`, also for dropped peers."""

    def send(self, peer: str, message: Message) -> bool:
        """False: there is no link now, or the message is no frame; nothing was queued. Never blocks, never raises."""
        ...

    def writable(self, peer: str) -> bool:
        """Linked, and the peer takes what it is sent: a sender of bulk waits for this before it sends on."""
        ...

    def set_peers(self, peers: Mapping[str, str]) -> None:
        """Names and where they listen, `host:port`. New ones are dialled, changed addresses dialled anew, and whoever
        is named no more loses its links in both directions.

        A name is a member id; or a node id, if any incarnation will do; or an address, if whoever answers there will
        do. Messages come under the name that is set, or else under the member id. This node itself may stand among
        them and is left out.
        """
        ...

    async def start(self) -> None:
        """Listen and dial. OSError when the address cannot be listened on."""
        ...

    async def close(self) -> None:
        """Drop everything. No callback comes afterwards."""
        ...
