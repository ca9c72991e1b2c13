#!/bin/sh
# Builds the original from its published crate into a cache outside the checkout, one folder for each version; where
# that folder is there, nothing is done. Politely: the build takes minutes on two cores.
set -eu
version=0.2.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/rustqueue-original-$version"
[ -x "$folder/bin/rustqueue" ] && exit 0
command -v cargo >/dev/null || { echo "the original needs cargo (Rust 1.85 or newer) to be built" >&2; exit 1; }
CARGO_TARGET_DIR="$folder/target" nice -n 19 cargo install rustqueue --version "$version" --locked --root "$folder"
rm -rf "$folder/target"
