#!/usr/bin/env bash
# Brings newman, which runs Postman collections, for the tests, and prints its path. Safe twice, and side by side.
#
# It needs Node 16 or newer; where the machine has none, or no npm, the Node that the job image is built with is fetched
# and stands first in the PATH of the tests.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/shared/bringing.sh
. "$here/shared/bringing.sh"

lock="$here/newman"
cache="$cache_root/newman"

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9

trust_ca_bundle
bring_node
if ! cmp --silent "$lock/package-lock.json" "$cache/installed.json"; then
    rm -f "$cache/installed.json"
    cp "$lock/package.json" "$lock/package-lock.json" "$cache"
    put_npm_packages "$cache"
    cp "$lock/package-lock.json" "$cache/installed.json"
fi
echo "$cache/node_modules/newman/bin/newman.js"
