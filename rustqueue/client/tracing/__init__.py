"""Traces over a queue: what clients and workers tell, and the one library that is told."""
