#!/usr/bin/env bash
# Brings the commands that documented examples call, which tests run as they are written. Safe twice.
set -euo pipefail

# shellcheck source=tests/setup/shared/bringing.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/shared/bringing.sh"

missing=()
for command in curl jq; do
    has "$command" || missing+=("$command")
done
((${#missing[@]} == 0)) || install_debian_packages "${missing[@]}"
