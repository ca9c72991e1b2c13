"""Webhooks: what leaves the node when a job changes, and where it may go.

It must not decide which event a webhook gets, nor when a failed delivery is tried again: the machine does. `guard` says
which receivers may be called, `signing` signs what they get.
"""
