#!/usr/bin/env bash
# Builds the image of the job containers; skips everything when it is already there with the same content.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here
# What the image is made of. The content hash is theirs.
readonly parts=(Dockerfile dpkg-exclude.cfg package.json package-lock.json requirements.txt requirements-build.txt smoke.py)
readonly pull_seconds=120

usage() {
    cat <<'TEXT'
Usage: job_image/build.sh [--base IMAGE] [--tag TAG] [--force] [--verbose] [--help]

Builds the image of the job containers, and checks in it that Codex, Spec Kit and git
can do what the appliance asks of them. Needs a Docker engine; root where a base image
must be made.

  --base IMAGE  build on this image (Debian 12 or newer, or Ubuntu 24.04 or newer).
                Without it: Debian's public slim image; where that cannot be pulled,
                one made here by job_image/make_base.sh
  --tag TAG     name of the image (moonmind/spec-automation-job:latest)
  --force       build again, with today's packages, even when nothing has changed
  --verbose     show the build's whole output

Environment:
  EXTRA_CA_CERTS, SSL_CERT_FILE  CA bundle that the build's downloads trust; without them
                the machine's own. It does not become part of the image.
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, PIP_INDEX_URL, NPM_CONFIG_REGISTRY
                handed to the build where they are set
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

base=
tag=moonmind/spec-automation-job:latest
force=
verbose=
while (($#)); do
    case $1 in
        --base) base=${2:?--base needs an image} && shift 2 ;;
        --tag) tag=${2:?--tag needs a name} && shift 2 ;;
        --force) force=yes && shift ;;
        --verbose) verbose=yes && shift ;;
        --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done

docker version > /dev/null 2>&1 ||
    fail "no Docker engine answers. Start it (systemctl start docker), or set DOCKER_HOST to the one to use."

has_image() { docker image inspect "$1" > /dev/null 2>&1; }
label_of() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2> /dev/null || true; }

show_image() {
    local size
    size=$(docker image inspect --format '{{.Size}}' "$tag")
    say "$tag: Codex CLI $(label_of "$tag" moonmind.codex.version), Spec Kit $(label_of "$tag" moonmind.spec-kit.version)," \
        "content version $(label_of "$tag" moonmind.job-image.version), $((size / 1000000)) MB"
}

content=$( (cd "$here" && sha256sum "${parts[@]}" && echo "base $base") | sha256sum | cut -c1-16)
if [[ ! $force && $(label_of "$tag" moonmind.job-image.content) == "$content" ]]; then
    say "The job image is already there, made of the same content."
    show_image
    exit 0
fi

pick_base() {
    local public made error
    public=$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/Dockerfile" | head -n 1)
    # shellcheck source=/dev/null
    made=moonmind/base:$(. /etc/os-release && echo "${VERSION_CODENAME:-local}")
    if has_image "$public"; then
        base=$public
    elif [[ ! $force ]] && has_image "$made"; then
        base=$made
    elif error=$(timeout "$pull_seconds" docker pull -q "$public" 2>&1); then
        base=$public
    else
        say "$public cannot be pulled (${error:-no answer in $pull_seconds s}); making a base image here."
        "$here/make_base.sh" --tag "$made"
        base=$made
    fi
}

[[ $base ]] || pick_base
say "Building $tag on $base (a minute or two)."

context=$(mktemp -d)
log=$(mktemp -t job-image-build.XXXXXX)
trap 'rm -rf "$context"' EXIT
(cd "$here" && cp "${parts[@]}" "$context")
for bundle in "${EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    [[ $bundle ]] || continue
    if [[ -r $bundle ]]; then
        cp "$bundle" "$context/extra-ca.pem"
        break
    fi
    say "The CA bundle $bundle cannot be read; trying the next."
done

options=(--build-arg "BASE_IMAGE=$base" --build-arg "CONTENT_HASH=$content" --tag "$tag")
[[ $force ]] && options+=(--no-cache)
# By name only: their values may hold a password, which would then stand in this process's arguments.
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy PIP_INDEX_URL NPM_CONFIG_REGISTRY; do
    [[ ${!name:-} ]] && options+=(--build-arg "$name")
done

if [[ $verbose ]]; then
    docker build "${options[@]}" "$context" 2>&1 | tee "$log" || status=$?
else
    docker build "${options[@]}" "$context" > "$log" 2>&1 || status=$?
fi
# The checks' own lines, without what a newer builder puts before them.
sed -nE 's/^(#[0-9]+ [0-9.]+ )?(ok|FAIL)  /  \2  /p' "$log"
if ((${status:-0})); then
    [[ $verbose ]] || tail -n 25 "$log" >&2
    fail "the build did not succeed. Its whole output: $log"
fi
rm -f "$log"
show_image
