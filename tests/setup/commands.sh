#!/usr/bin/env bash
# Brings the commands that documented examples call, which tests run as they are written, and systemd-analyze, which
# examines the unit of install.sh. Safe twice.
set -euo pipefail

# shellcheck source=tests/setup/shared/bringing.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/bringing.sh"

missing=()
for command in curl jq; do
    has "$command" || missing+=("$command")
done
has systemd-analyze || missing+=(systemd)
((${#missing[@]} == 0)) || install_debian_packages "${missing[@]}"
