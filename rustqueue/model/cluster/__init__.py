"""What people and programs ask about the cluster itself, and what they are told: requests and replies.

A node answers these, not the machine: its leader knows who lags, and changes of the members go into the log as records
of their own kind.
"""
