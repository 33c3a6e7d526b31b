#!/usr/bin/env bash
# Brings GitHub's OpenAPI description for the tests, and prints the folder it lies in. Safe twice, and side by side.
#
# It comes from npm; where the machine has none, with the npm that the job image is built with.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/shared/bringing.sh
. "$here/shared/bringing.sh"

lock="$here/octokit-openapi"
cache="$cache_root/octokit-openapi"
# GitHub itself, and the oldest GitHub Enterprise Server that the package describes.
descriptions=(api.github.com.json ghes-3.17.json)

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9

if ! cmp --silent "$lock/package-lock.json" "$cache/installed.json"; then
    trust_ca_bundle
    bring_node
    rm -rf "$cache"/unpacked.*
    # The package unpacks to 400 MB; only what is used is kept.
    unpacked=$(mktemp -d "$cache/unpacked.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    cp "$lock/package.json" "$lock/package-lock.json" "$unpacked"
    put_npm_packages "$unpacked"
    for description in "${descriptions[@]}"; do
        mv "$unpacked/node_modules/@octokit/openapi/generated/$description" "$cache/$description"
    done
    cp "$lock/package-lock.json" "$cache/installed.json"
fi
echo "$cache"
