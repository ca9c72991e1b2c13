"""Bugs put in on purpose, each in a subclass of the real thing, and the table of how soon each is found."""
