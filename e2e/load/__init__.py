"""Clients inside the cluster, and the verdict on what they saw."""
