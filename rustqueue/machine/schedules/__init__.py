"""Schedules as the machine keeps them: definitions, what became of each, the history of runs.

It must not know calendars or zones: ticks are told by the leader, and count only if nothing has changed since.
"""
