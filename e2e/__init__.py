"""End-to-end tests: what only a real Kubernetes can tell. See docs/decisions/0008-real-kubernetes.md.

`harness/` builds and boots it and knows nothing of RustQueue; `api/` needs a control plane only, `scenarios/` nodes.
"""
