"""Following events: what both clients do with the same words. `session` decides, `follow` waits and reads."""
