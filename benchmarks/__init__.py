"""Benchmarks: what a durable node does per second and per microsecond, beside its yardstick and its peers.

Run with `python -m benchmarks`; `docs/benchmarks.md` says what each case measures and how to read it. Nothing in
`rustqueue` may import this package, and this package drives servers from outside only, through their sockets.
"""
