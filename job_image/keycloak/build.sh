#!/usr/bin/env bash
# Builds images of Keycloak and its database for those who cannot pull the public ones.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=job_image/building.sh
. "$here/../building.sh"

usage() {
    cat <<'TEXT'
Usage: job_image/keycloak/build.sh --distribution ZIP [--base IMAGE] [--tag TAG] [--db-tag TAG] [--verbose] [--help]

Builds what KEYCLOAK_IMAGE and KEYCLOAK_DB_IMAGE can name where the public images cannot be
pulled: Keycloak from its distribution, Postgres from Debian's packages. What is there already,
made of the same content, is not built again.

  --distribution ZIP  Keycloak's distribution, keycloak-VERSION.zip from its download page, or
                      org.keycloak:keycloak-quarkus-dist:VERSION:zip from a Maven repository
  --base IMAGE        build on this image; see job_image/build.sh
  --tag TAG           name of Keycloak's image (moonmind/keycloak:latest)
  --db-tag TAG        name of the database's image (moonmind/keycloak-db:latest)
  --verbose           show the builds' whole output
TEXT
}

distribution=
base=
tag=moonmind/keycloak:latest
db_tag=moonmind/keycloak-db:latest
verbose=
while (($#)); do
    case $1 in
        --distribution) distribution=${2:?--distribution needs a file} && shift 2 ;;
        --base) base=${2:?--base needs an image} && shift 2 ;;
        --tag) tag=${2:?--tag needs a name} && shift 2 ;;
        --db-tag) db_tag=${2:?--db-tag needs a name} && shift 2 ;;
        --verbose) verbose=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        *) printf '%s: unknown option: %s\n' "$(basename "$0")" "$1" >&2 && usage >&2 && exit 2 ;;
    esac
done
[[ -r $distribution ]] || fail "give Keycloak's distribution with --distribution ZIP."
need_engine

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/keycloak" "$context/db"
cp "$here/Dockerfile" "$context/keycloak"
cp "$distribution" "$context/keycloak/keycloak.zip"
cp "$here/db/Dockerfile" "$here/db/start.sh" "$context/db"

public=$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/Dockerfile" | head -n 1)
for part in "db $db_tag" "keycloak $tag"; do
    read -r folder name <<< "$part"
    content=$(hash_of_folder "$context/$folder" "base $base")
    if made_of "$name" "$content"; then
        say "$name is already there, made of the same content."
        continue
    fi
    image=${base:-$(pick_base "$public")}
    say "Building $name on $image (a minute or two)."
    build "$name" "$content" "$context/$folder/Dockerfile" "$context/$folder" --build-arg "BASE_IMAGE=$image"
done
