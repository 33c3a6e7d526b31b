#!/usr/bin/env bash
# Brings promtool, which checks metrics and alert rules, for the tests, and prints its path. Safe twice, and side by side.
#
# Where the machine has none, it is taken out of the distribution's package, which is not installed: it would start a
# server.
set -euo pipefail

# shellcheck source=tests/setup/shared/bringing.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/bringing.sh"

if has promtool; then
    command -v promtool
    exit
fi

folder=$cache_root/promtool
mkdir -p "$folder"
exec 9> "$folder/lock"
flock 9
if [[ ! -x $folder/promtool ]]; then
    has apt-get || fail "promtool is missing, and this system is neither Debian nor Ubuntu." "install Prometheus by hand."
    say "fetching promtool"
    scratch=$(mktemp -d "$folder/fetch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    # The user _apt, which fetches, writes into it.
    chmod 0777 "$scratch"
    cd "$scratch"
    update_package_lists
    attempt "the package prometheus could not be fetched" "$network_next" apt-get download -q prometheus
    attempt "the package prometheus could not be unpacked" "$network_next" dpkg-deb --extract prometheus_*.deb .
    mv usr/bin/promtool "$folder/promtool"
fi
echo "$folder/promtool"
