"""A cluster that begins with one restored member takes its others in as soon as they run with empty folders.

It must not know disks or links: it asks for what anybody can ask for (`member_add`). Invariants: a node is invited
until it belongs to the cluster, over any number of restarts; one request is on its way at most.
"""

from collections.abc import Callable, Mapping

from rustqueue.model import limits
from rustqueue.model.cluster.requests import MemberAdd
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command
from rustqueue.raft.ports import Clock

Submit = Callable[[MemberAdd, bytes, Callable[[Reply], None]], None]


class Invites:
    """`start` it once; `taken_in` is told every node that belongs to the cluster now."""

    def __init__(
        self, clock: Clock, submit: Submit, invited: Mapping[str, str], taken_in: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._submit = submit
        self._waiting = dict(invited)
        self._taken_in = taken_in
        self._closed = False

    def start(self) -> None:
        if self._waiting and not self._closed:
            self._clock.call_later(limits.INVITE_LOOK_MS, self._ask)

    def close(self) -> None:
        self._closed = True

    def _ask(self) -> None:
        if self._closed:
            return
        node, address = next(iter(self._waiting.items()))
        request = MemberAdd(id=node, address=address)

        def answered(reply: Reply) -> None:
            if isinstance(reply, Refused) and reply.error.code != "MEMBER_EXISTS":
                self._waiting[node] = self._waiting.pop(node)  # The next one's turn.
            else:
                del self._waiting[node]
                self._taken_in(node)
            self.start()

        self._submit(request, encode_command(request), answered)
