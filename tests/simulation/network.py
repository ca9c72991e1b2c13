"""A simulated network: ordered streams between addresses that can be slow, cut, cut one way, or stuck.

It must not know what travels. What it models: a stream delivers in order or breaks; a break is noticed by both ends,
each in its own time; what is cut may be stuck for a while, as TCP retransmits, before the stream breaks. A stream is
begun by hellos, and both sides may refuse; who is no peer any more loses what it had begun.
"""

from collections.abc import Callable, Mapping
from random import Random

import msgspec

from rustqueue.raft.links import Hello
from rustqueue.raft.messages import Message, SnapshotPart
from rustqueue.raft.transport.greeting import answers_to
from tests.simulation.timeline import Process, Timeline

_decoder = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()
_REDIAL_US = 50_000
_GIVE_UP_US = 1_500_000


class SimNetwork:
    """All links of a world."""

    def __init__(self, timeline: Timeline, rng: Random) -> None:
        self.timeline = timeline
        self.rng = rng
        self.latency_us = round(10 ** rng.uniform(2.0, 3.7))
        self.listening: dict[str, SimLinks] = {}
        self.blocked: set[tuple[str, str]] = set()
        self.slow: dict[tuple[str, str], int] = {}
        self.unread: set[str] = set()
        """Hosts whose next message finds that its peer does not read: the link is cut, the message is not sent."""
        self.damages_next = False
        """The next piece of a snapshot arrives with a wrong bit."""
        self.sent_count = 0
        self.broken_count = 0

    def block(self, source: str, target: str) -> None:
        """Nothing gets from one host to the other any more."""
        self.blocked.add((source, target))

    def heal(self) -> None:
        self.blocked.clear()
        self.slow.clear()

    def open(self, source: str, target: str) -> bool:
        """Whether packets of one address reach the other."""
        return (_host(source), _host(target)) not in self.blocked

    def delay_us(self, source: str, target: str) -> int:
        base_us = self.slow.get((_host(source), _host(target)), self.latency_us)
        return base_us // 2 + self.rng.randrange(base_us + 1)

    def damaged(self, message: Message) -> Message:
        if not self.damages_next or not isinstance(message, SnapshotPart) or not message.data:
            return message
        self.damages_next = False
        return msgspec.structs.replace(message, data=bytes([message.data[0] ^ 1]) + message.data[1:])


def _host(address: str) -> str:
    return address.partition(":")[0]


class _Stream:
    """What one process sends to one peer."""

    __slots__ = ("address", "arrives_us", "epoch", "is_up", "peer", "stuck")

    def __init__(self, peer: str, address: str) -> None:
        self.peer = peer
        self.address = address
        self.is_up = False
        self.epoch = 0
        self.arrives_us = 0
        self.stuck = False


class SimLinks:
    """The `Links` port of one process. It listens from the beginning."""

    def __init__(
        self, network: SimNetwork, process: Process, own: Callable[[], Hello], admit: Callable[[Hello], str | None]
    ) -> None:
        self._network = network
        self._process = process
        self.own = own
        self.admit = admit
        self.address = own().address
        self._streams: dict[str, _Stream] = {}
        self._inbound: dict[str, tuple[_Stream, int]] = {}
        """Who was let in, and the stream on which it is heard."""
        self.on_message: Callable[[str, Message], None] = lambda peer, message: None
        self.on_up: Callable[[str], None] = lambda peer: None
        self.on_down: Callable[[str], None] = lambda peer: None

    async def start(self) -> None:
        self.listen()

    async def close(self) -> None:
        self.hang_up()

    def listen(self) -> None:
        self._network.listening[self.address] = self

    def hang_up(self) -> None:
        """The process is gone: the other ends notice after a while."""
        if self._network.listening.get(self.address) is self:
            del self._network.listening[self.address]

    def set_peers(self, peers: Mapping[str, str]) -> None:
        for peer in [peer for peer in self._streams if self._streams[peer].address != peers.get(peer)]:
            self._down(self._streams.pop(peer))
            if peer not in peers:
                self._inbound.pop(peer, None)
        for peer, address in peers.items():
            if peer not in self._streams:
                self._streams[peer] = _Stream(peer, address)
                self._dial(self._streams[peer])

    def send(self, peer: str, message: Message) -> bool:
        stream = self._streams.get(peer)
        if stream is None or not stream.is_up:
            return False
        network = self._network
        network.sent_count += 1
        if self._is_unread(stream):
            return False
        blob = _encoder.encode(network.damaged(message))
        if not network.open(self.address, stream.address) or stream.stuck:
            self._stick(stream, blob)
            return True
        stream.arrives_us = max(
            stream.arrives_us, network.timeline.now_us + network.delay_us(self.address, stream.address)
        )
        epoch, target = stream.epoch, network.listening.get(stream.address)
        network.timeline.after(
            stream.arrives_us - network.timeline.now_us, lambda: self._arrive(stream, epoch, target, blob)
        )
        return True

    def _is_unread(self, stream: _Stream) -> bool:
        host = _host(self.address)
        if host not in self._network.unread:
            return False
        self._network.unread.discard(host)
        epoch = stream.epoch
        stream.stuck = True
        self._process.after(0, lambda: self._break(stream, epoch))
        return True

    def writable(self, peer: str) -> bool:
        stream = self._streams.get(peer)
        return stream is not None and stream.is_up and not stream.stuck

    def _dial(self, stream: _Stream) -> None:
        self._process.after(_REDIAL_US // 2 + self._network.rng.randrange(_REDIAL_US), lambda: self._try(stream))

    def _try(self, stream: _Stream) -> None:
        if self._streams.get(stream.peer) is not stream or stream.is_up:
            return
        network = self._network
        both = network.open(self.address, stream.address) and network.open(stream.address, self.address)
        target = network.listening.get(stream.address)
        if not both or target is None or not self._greets(stream, target):
            self._dial(stream)
            return
        stream.is_up, stream.stuck = True, False
        stream.epoch += 1
        target.let_in(self.own(), stream)
        self.on_up(stream.peer)

    def _greets(self, stream: _Stream, target: "SimLinks") -> bool:
        """Whether both sides are content with the other's hello."""
        if target.admit(self.own()) is not None:
            return False
        answer = target.own()
        return answers_to(answer, stream.peer) and self.admit(answer) is None

    def let_in(self, hello: Hello, stream: _Stream) -> None:
        """The newest stream of a member takes the place of the one before."""
        self._inbound[hello.member] = (stream, stream.epoch)

    def _arrive(self, stream: _Stream, epoch: int, target: "SimLinks | None", blob: bytes) -> None:
        if stream.epoch != epoch or target is None:
            return
        if self._network.listening.get(stream.address) is not target:
            self._break(stream, epoch)
            return
        if not self._network.open(self.address, stream.address):
            self._stick(stream, blob)
            return
        # Through the process: one that is stopped takes nothing from its sockets.
        member = self.own().member
        target._process.after(0, lambda: target.take(member, (stream, epoch), blob))
        if target.hears(member) != (stream, epoch):
            # The other end has closed it, which is noticed after a while.
            delay_us = self._network.delay_us(stream.address, self.address)
            self._network.timeline.after(delay_us, lambda: self._break(stream, epoch))

    def hears(self, member: str) -> tuple[_Stream, int] | None:
        return self._inbound.get(member)

    def take(self, member: str, by: tuple[_Stream, int], blob: bytes) -> None:
        if self._inbound.get(member) == by:
            self.on_message(member, _decoder.decode(blob))

    def _stick(self, stream: _Stream, blob: bytes) -> None:
        """TCP tries for a while; here whatever was sent into a cut is lost with its stream."""
        if not stream.stuck:
            stream.stuck = True
            epoch = stream.epoch
            self._network.timeline.after(self._network.rng.randrange(_GIVE_UP_US), lambda: self._break(stream, epoch))

    def _break(self, stream: _Stream, epoch: int) -> None:
        if stream.epoch == epoch and self._process.alive:
            self._network.broken_count += 1
            self._down(stream)
            if self._streams.get(stream.peer) is stream:
                self._dial(stream)

    def _down(self, stream: _Stream) -> None:
        was_up = stream.is_up
        stream.is_up = stream.stuck = False
        stream.epoch += 1
        if was_up:
            self.on_down(stream.peer)
