"""A member of a cluster: consensus among several nodes over the journal of each.

`rules` and `config` decide, as pure functions; `syncobj` holds the state in pysyncobj's node; `member` carries the
decisions out; `replicator` is what the gateway sees.
"""
