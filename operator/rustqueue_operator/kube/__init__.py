"""The Kubernetes API as far as the operator uses it: objects, events and the Lease."""
