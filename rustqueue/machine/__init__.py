"""The deterministic state machine: decides everything, does nothing else.

It may not read a clock, roll dice, log, or know sockets, files and threads: time and chance come in the log entry, rows
go to the `KV` port. The same entries give the same rows and the same replies on every node and in every replay.
"""
