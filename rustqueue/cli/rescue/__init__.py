"""Backups, and what is done with the folders of nodes that do not run."""
