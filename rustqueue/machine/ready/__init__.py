"""What a pull can take: the ready jobs of a queue in their order, and whose turn it is among groups.

`window` holds jobs in order of priority and sequence, on disk and in memory; `groups` gives each group of a queue such
an order of its own; `turns` goes round among them during a pull.
"""

from rustqueue.machine.ready.groups import Groups
from rustqueue.machine.ready.turns import Turns
from rustqueue.machine.ready.window import Ready, ReadyQueue, WindowLimits

__all__ = ["Groups", "Ready", "ReadyQueue", "Turns", "WindowLimits"]
