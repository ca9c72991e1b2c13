"""The Kubernetes operator for RustQueue.

It is a client of the server's public API like any other, so it must not import the machine, the storage, the log or
the shells of the server: import-linter holds that line. Its parent folder `operator/` is a plain folder on the import
path and never a package, because a package of that name would shadow the standard library's `operator` module.
"""
