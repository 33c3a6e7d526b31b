#!/usr/bin/env bash
# Builds the image of the appliance itself; skips everything when it is already there with the same content.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
readonly here root
# shellcheck source=job_image/building.sh
. "$here/../building.sh"

usage() {
    cat <<'TEXT'
Usage: job_image/appliance/build.sh [--base IMAGE] [--tag TAG] [--verbose] [--help]

Builds the image of the appliance for compose.yaml. `docker compose build api` does the same
where the base image can be pulled and the package registry has a public certificate; this also
works where no image can be pulled, and behind a TLS proxy.

  --base IMAGE  build on this image (Debian 12 or newer). Without it: Debian's public slim
                image; where that cannot be pulled, one made by job_image/make_base.sh
  --tag TAG     name of the image (moonmind/appliance:latest)
  --verbose     show the build's whole output

Environment:
  EXTRA_CA_CERTS, SSL_CERT_FILE  CA bundle that the build's downloads trust; without them
                the machine's own. It does not become part of the image.
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, PIP_INDEX_URL
                handed to the build where they are set
TEXT
}

base=
tag=moonmind/appliance:latest
verbose=
while (($#)); do
    case $1 in
        --base) base=${2:?--base needs an image} && shift 2 ;;
        --tag) tag=${2:?--tag needs a name} && shift 2 ;;
        --verbose) verbose=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        *) printf '%s: unknown option: %s\n' "$(basename "$0")" "$1" >&2 && usage >&2 && exit 2 ;;
    esac
done
need_engine

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
parts=(pyproject.toml README.md requirements.txt requirements-install.txt moonmind_appliance
    job_image/appliance/Dockerfile job_image/dpkg-exclude.cfg job_image/sbom.py)
[[ -d $root/tui ]] && parts+=(tui)
tar -C "$root" -c --exclude=__pycache__ --exclude='.*_cache' "${parts[@]}" | tar -x -C "$context"

content=$(hash_of_folder "$context" "base $base")
if made_of "$tag" "$content"; then
    say "$tag is already there, made of the same content."
    exit 0
fi
[[ $base ]] || base=$(pick_base "$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/Dockerfile" | head -n 1)")
say "Building $tag on $base (a minute or so)."
put_ca_bundle "$context/extra-ca.pem"
build "$tag" "$content" "$context/job_image/appliance/Dockerfile" "$context" --build-arg "BASE_IMAGE=$base"
