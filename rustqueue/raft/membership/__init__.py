"""How the members of a cluster change while it serves: the leader's part of it."""
