"""The one door: every request of every protocol goes through it, and every reply comes back through it.

It must not know bytes on a wire, nor what a command does to a job. `door` decides where a request goes, `waiting` keeps
the pulls that wait for a job, `deadlines` is their timer, `preparing` takes what is secret out of a command, `ports` is
what all of them need from the rest of the node.
"""

from rustqueue.gateway.door import Gateway
from rustqueue.gateway.ports import Applied, GatewayLimits, Replicator, Ticket

__all__ = ["Applied", "Gateway", "GatewayLimits", "Replicator", "Ticket"]
