"""Nodes of a cluster as Kubernetes sees them: members whose pods are gone for good, and volumes that are to grow."""
