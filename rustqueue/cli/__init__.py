"""The `rustqueue` program: what a person types.

It turns words into calls of the client or of the node and their answers into text; it decides nothing about jobs.
Invariants: importing it needs msgspec only; every error is one line on standard error and an exit code other than 0
(1 refused or failed, 2 wrong use, 3 no connection); standard output carries answers and nothing else.
"""
