#!/usr/bin/env bash
# Brings GitHub's OpenAPI description for the tests, and prints the folder it lies in. Safe twice, and side by side.
#
# Needs npm; where it is missing and this runs as root, it is installed with apt-get.
set -euo pipefail

lock="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/octokit-openapi"
cache="${TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moonmind-appliance-tests}/octokit-openapi"
# GitHub itself, and the oldest GitHub Enterprise Server that the package describes.
descriptions=(api.github.com.json ghes-3.17.json)

say() { echo "octokit-openapi.sh: $*" >&2; }

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9

if ! cmp --silent "$lock/package-lock.json" "$cache/installed.json"; then
    if ! command -v npm > /dev/null; then
        if [[ $(id -u) -ne 0 ]]; then
            say "please install: nodejs npm"
            exit 1
        fi
        say "installing: nodejs npm"
        apt-get install -y --no-install-recommends nodejs npm >&2
    fi
    say "fetching with npm"
    rm -rf "$cache"/unpacked.*
    # The package unpacks to 400 MB; only what is used is kept.
    unpacked=$(mktemp -d "$cache/unpacked.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    cp "$lock/package.json" "$lock/package-lock.json" "$unpacked"
    npm ci --prefix "$unpacked" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    for description in "${descriptions[@]}"; do
        mv "$unpacked/node_modules/@octokit/openapi/generated/$description" "$cache/$description"
    done
    cp "$lock/package-lock.json" "$cache/installed.json"
fi
echo "$cache"
