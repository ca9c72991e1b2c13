#!/bin/bash
# Process 1 of one node, in network, mount, host name and process namespaces of its own; started by nodes.py. Killing it
# kills all that runs on the node, and with that go its mounts, addresses and packet filter rules.
set -euo pipefail

mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
for dir in $VAR; do
    mkdir -p "$NODE_DIR/var/$dir"
    mount --bind "$NODE_DIR/var/$dir" "/var/$dir"
done
hostname "$NODE"
sysctl -qw net.ipv4.ip_forward=1
# After a cut connections live on at once; older kernels do not know it.
sysctl -qw net.ipv4.tcp_rto_max_ms=1000 2>/dev/null || true
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip address add "$NODE_IP/24" dev eth0
ip link set eth0 up
ip route add default via "$HOST_IP"
for route in $ROUTES; do ip route add "${route%,*}" via "${route#*,}"; done

# keep NAME COMMAND...: starts a program again whenever it dies, as an init system would.
keep() {
    local name=$1
    shift
    (
        set +e
        while :; do
            "$@" >>"$LOG/$NODE-$name.log" 2>&1
            sleep 1
        done
    ) &
}
keep containerd containerd -c "$NODE_DIR/containerd.toml"
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
keep kube-proxy "$BIN/kube-proxy" --config="$NODE_DIR/proxy.yaml"
keep kubelet "$BIN/kubelet" --config="$NODE_DIR/kubelet.yaml" --kubeconfig="$PKI/$NODE.kubeconfig" \
    --hostname-override="$NODE" --node-ip="$NODE_IP"
while :; do wait || true; done
