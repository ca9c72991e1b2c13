"""The real links between members: TCP or TLS 1.3, one connection a direction, length-prefixed msgpack frames."""
