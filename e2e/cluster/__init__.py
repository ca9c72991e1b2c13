"""A cluster with nodes on one machine: as root, without Docker, systemd or a registry.

A node is one process in network, mount, host name and process namespaces of its own, with containerd, kubelet and
kube-proxy under it. Killing it is a power cut: everything on the node, its mounts, addresses and rules go at once.
"""
