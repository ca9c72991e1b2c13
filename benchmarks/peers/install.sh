#!/usr/bin/env bash
# Installs the systems that `python -m benchmarks --peers` compares with. Safe to run again.
#
# The original is built from its published crate into a cache outside the checkout, slowly and politely, because the
# build takes tens of minutes on two cores. The brokers and the database come from the distribution. No service is
# started: the benchmarks start their own copies on loopback with temporary folders.
set -euo pipefail

cache="${RUSTQUEUE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/rustqueue-peers}"
mkdir -p "$cache"

if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then as_root=(); else as_root=(sudo); fi
    # Debian starts a service as soon as its package is unpacked, unless this policy file forbids it.
    policy=/usr/sbin/policy-rc.d
    made_policy=no
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        made_policy=yes
    fi
    remove_policy() { if [ "$made_policy" = yes ]; then "${as_root[@]}" rm -f "$policy"; fi; }
    trap remove_policy EXIT
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        rabbitmq-server redis-server postgresql postgresql-contrib etcd-server
else
    echo "no apt-get here: install RabbitMQ, Redis and PostgreSQL (with pgbench) by hand" >&2
fi

if [ -x "$cache/bin/rustqueue" ]; then
    echo "the original is already in $cache/bin"
elif command -v cargo >/dev/null; then
    CARGO_TARGET_DIR="$cache/target" nice -n 19 cargo install rustqueue --version 0.2.0 --locked -j1 --root "$cache"
else
    echo "no cargo here: the original is left out (install Rust and run this again)" >&2
fi
