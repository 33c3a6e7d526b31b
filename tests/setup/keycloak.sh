#!/usr/bin/env bash
# Brings Keycloak's distribution for the tests, and prints the folder it lies in. Safe twice, and side by side.
#
# Needs a JDK from 17 on and Maven; what is missing is installed with apt-get where this runs as root.
set -euo pipefail

version=26.7.3
sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
cache="${TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moonmind-appliance-tests}/keycloak"
home="$cache/keycloak-$version"
zip="$cache/keycloak-quarkus-dist-$version.zip"

say() { echo "keycloak.sh: $*" >&2; }

java_is_there() {
    "${JAVA_HOME:-/usr}/bin/java" --version >/dev/null 2>&1 || java --version >/dev/null 2>&1
}

install_missing() {
    missing=""
    java_is_there || missing="$missing openjdk-17-jdk-headless"
    command -v mvn >/dev/null || [ -f "$zip" ] || missing="$missing maven"
    command -v unzip >/dev/null || missing="$missing unzip"
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "please install:$missing"
        exit 1
    fi
    say "installing:$missing"
    # shellcheck disable=SC2086 # a list of packages
    apt-get install -y --no-install-recommends $missing >&2
}

sum_is_right() { echo "$sha256  $zip" | sha256sum --check --status; }

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

if [ ! -f "$home/.built" ]; then
    install_missing
    if ! { [ -f "$zip" ] && sum_is_right; }; then
        say "fetching Keycloak $version with Maven"
        mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
            -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$cache" >&2
        if ! sum_is_right; then
            say "$zip is not what was expected (SHA-256 differs); it is removed"
            rm -f "$zip"
            exit 1
        fi
    fi
    rm -rf "$home"
    unzip -q "$zip" -d "$cache"
    # Built once, so that each start takes a third of the time.
    say "building (about half a minute)"
    "$home/bin/kc.sh" build --db=dev-file >&2
    touch "$home/.built"
fi
echo "$home"
