#!/bin/sh
# Certificates for the links between the nodes of three-nodes.yaml, and the keys that seal webhooks' secrets, into the
# folder that is named or into certificates/ beside it. What is there stays. The authority's key is needed for new nodes
# only: keep it somewhere safe.
set -eu
folder=${1:-$(dirname "$0")/certificates}
mkdir -p "$folder" && cd "$folder"

new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 "$@" 2>/dev/null; }

[ -f ca.crt ] || new -subj /CN=rustqueue-peers -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
[ -f keys ] || (umask 077 && openssl rand -base64 32 > keys)
for node in n0 n1 n2; do
    [ -f "$node/tls.crt" ] && [ -f "$node/keys" ] && continue
    mkdir -p "$node"
    new -subj "/CN=$node" -keyout "$node/tls.key" -out "$node/tls.crt" -CA ca.crt -CAkey ca.key \
        -addext "subjectAltName=DNS:$node" -addext basicConstraints=critical,CA:FALSE \
        -addext extendedKeyUsage=clientAuth,serverAuth
    # All nodes open what one of them has sealed.
    cp ca.crt keys "$node/"
    # The node is nobody's user in its container, number 65532. Without the right to give files away, all may read them.
    chown -R 65532:65532 "$node" 2>/dev/null || chmod a+r "$node"/*
done
