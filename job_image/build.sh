#!/usr/bin/env bash
# Builds the image of the job containers; skips everything when it is already there with the same content.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=job_image/building.sh
. "$here/building.sh"
content_label=moonmind.job-image.content
# What the image is made of. The content hash is theirs.
readonly parts=(Dockerfile dpkg-exclude.cfg package.json package-lock.json requirements.txt requirements-build.txt smoke.py sbom.py)

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
        -h | --help) usage && exit 0 ;;
        *) printf '%s: unknown option: %s\n' "$(basename "$0")" "$1" >&2 && usage >&2 && exit 2 ;;
    esac
done

need_engine

label_of() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2> /dev/null || true; }

show_image() {
    say "$tag: Codex CLI $(label_of "$tag" moonmind.codex.version), Spec Kit $(label_of "$tag" moonmind.spec-kit.version)," \
        "content version $(label_of "$tag" moonmind.job-image.version)"
}

content=$( (cd "$here" && sha256sum "${parts[@]}" && echo "base $base") | sha256sum | cut -c1-16)
if [[ ! $force ]] && made_of "$tag" "$content"; then
    say "The job image is already there, made of the same content."
    show_image
    exit 0
fi

[[ $base ]] || base=$(pick_base "$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/Dockerfile" | head -n 1)")
say "Building $tag on $base (a minute or two)."

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
(cd "$here" && cp "${parts[@]}" "$context")
put_ca_bundle "$context/extra-ca.pem"

options=(--build-arg "BASE_IMAGE=$base" --build-arg "CONTENT_HASH=$content")
[[ $force ]] && options+=(--no-cache)
# By name only, as in building.sh.
[[ ${NPM_CONFIG_REGISTRY:-} ]] && options+=(--build-arg NPM_CONFIG_REGISTRY)
build "$tag" "$content" "$context/Dockerfile" "$context" "${options[@]}"
show_image
