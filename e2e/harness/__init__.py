"""A real Kubernetes on this machine, from published Go modules: built once, booted in seconds, gone without a trace."""
