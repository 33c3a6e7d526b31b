#!/usr/bin/env bash
# Brings Docker Compose v2 for the tests, and prints the folder to set as DOCKER_CONFIG so that `docker compose` works; an
# empty line where it works already. Safe twice, and side by side.
#
# It is built from the Go module proxy, pinned by compose/go.sum: three minutes, once. Needs Go from 1.24.9 on; where it is
# missing, apt has one new enough, and this runs as root, it is installed.
set -euo pipefail

version=2.40.3
module="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/compose"
config="${TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moonmind-appliance-tests}/compose"
plugin="$config/cli-plugins/docker-compose"
needed=$(sed -n 's/^go //p' "$module/go.mod")

say() { echo "compose.sh: $*" >&2; }

if docker compose version --short 2> /dev/null | grep -qE '^v?(2\.(2[4-9]|[3-9][0-9])|[3-9]|[1-9][0-9])'; then
    echo
    exit
fi

# at_least NEEDED FOUND
at_least() { printf '%s\n' "$1" "$2" | sort --check=silent --version-sort; }

install_missing() {
    local found candidate
    found=$(go env GOVERSION 2> /dev/null || echo go0)
    at_least "$needed" "${found#go}" && return
    candidate=$(apt-cache policy golang-go 2> /dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}//p')
    if [[ $(id -u) -ne 0 ]] || ! at_least "${needed%.*}" "${candidate:-0}"; then
        say "please install Docker Compose v2 (the package docker-compose-plugin), or Go $needed or newer"
        exit 1
    fi
    say "installing: golang-go"
    apt-get install -y --no-install-recommends golang-go >&2
}

mkdir -p "$config/cli-plugins"
exec 9> "$config/lock"
flock 9

if [[ ! -x $plugin || $(cat "$config/built" 2> /dev/null) != "$version $(sha256sum < "$module/go.sum")" ]]; then
    install_missing
    say "building Docker Compose $version (three minutes)"
    # Nothing of the caller's Go settings but where modules come from; never another Go than this one.
    (cd "$module" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 go build -trimpath \
        -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=v$version" -o "$plugin.new" \
        github.com/docker/compose/v2/cmd) >&2
    mv "$plugin.new" "$plugin"
    echo "$version $(sha256sum < "$module/go.sum")" > "$config/built"
fi
echo "$config"
