"""Families of verbs beside jobs and queues: each builds the calls that the clients offer as methods."""
