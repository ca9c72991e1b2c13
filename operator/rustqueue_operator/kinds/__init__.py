"""The kinds that people declare, as types: the one definition that the CRDs, the planner and the tests are made from.

A kind knows its fields, their bounds and how they read as a request of the queue's API. It must not know Kubernetes
calls, kopf or what is there at present. Durations are whole seconds here, as in the rest of Kubernetes, and
milliseconds in the API.
"""
