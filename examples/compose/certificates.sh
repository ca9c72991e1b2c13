#!/bin/sh
# Certificates for the links between the nodes of three-nodes.yaml, into the folder that is named or into certificates/
# beside it. What is there stays. The authority's key is needed for new nodes only: keep it somewhere safe.
set -eu
folder=${1:-$(dirname "$0")/certificates}
mkdir -p "$folder" && cd "$folder"

new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 "$@" 2>/dev/null; }

[ -f ca.crt ] || new -subj /CN=rustqueue-peers -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
for node in n0 n1 n2; do
    [ -f "$node/tls.crt" ] && continue
    mkdir -p "$node"
    new -subj "/CN=$node" -keyout "$node/tls.key" -out "$node/tls.crt" -CA ca.crt -CAkey ca.key \
        -addext "subjectAltName=DNS:$node" -addext basicConstraints=critical,CA:FALSE \
        -addext extendedKeyUsage=clientAuth,serverAuth
    cp ca.crt "$node/"
    # The node is nobody's user in its container, number 65532. Without the right to give files away, all may read them.
    chown -R 65532:65532 "$node" 2>/dev/null || chmod a+r "$node"/*
done
