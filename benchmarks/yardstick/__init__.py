"""The yardstick: a throw-away slice of one durable node, kept only to be measured beside the real one."""
