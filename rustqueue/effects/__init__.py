"""What follows from events and for operators: metrics and logs. Nothing in here changes state.

It must not know a protocol. An effect that fails costs its own output, never a command.
"""
