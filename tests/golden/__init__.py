"""Logs recorded by a released version: every later version must replay them to the same state."""
