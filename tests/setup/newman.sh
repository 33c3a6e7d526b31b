#!/usr/bin/env bash
# Brings newman, which runs Postman collections, for the tests, and prints its path. Safe twice, and side by side.
#
# Needs Node 16 or newer and npm; where they are missing and this runs as root, they are installed with apt-get.
set -euo pipefail

lock="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/newman"
cache="${TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moonmind-appliance-tests}/newman"

say() { echo "newman.sh: $*" >&2; }

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
    rm -f "$cache/installed.json"
    cp "$lock/package.json" "$lock/package-lock.json" "$cache"
    npm ci --prefix "$cache" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp "$lock/package-lock.json" "$cache/installed.json"
fi
echo "$cache/node_modules/newman/bin/newman.js"
