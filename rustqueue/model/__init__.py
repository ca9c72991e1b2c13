"""The vocabulary: typed commands, queries, replies and the limits on them.

Purpose: one place that says what can be asked, what is answered and how large anything may be. Every other package
imports this one and it imports nothing of ours. It validates shape and size; it knows no state, no clock, no I/O.
"""
