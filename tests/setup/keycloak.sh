#!/usr/bin/env bash
# Brings Keycloak's distribution for the tests, and prints the folder it lies in. Safe twice, and side by side.
#
# Needs a JDK from 17 on and Maven; what is missing is installed with apt-get where this runs as root.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/shared/bringing.sh
. "$here/shared/bringing.sh"

version=26.7.3
sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
cache="$cache_root/keycloak"
home="$cache/keycloak-$version"
zip="$cache/keycloak-quarkus-dist-$version.zip"

# The Java that both Maven and Keycloak take.
java_command() {
    if [[ -x ${JAVA_HOME:-/nonexistent}/bin/java ]]; then
        "$JAVA_HOME/bin/java" "$@"
    else
        java "$@"
    fi
}

jdk_is_there() {
    local found
    found=$(java_command --list-modules 2> /dev/null | sed -n 's/^jdk\.compiler@//p')
    at_least 17 "${found:-0}"
}

sum_is_right() { echo "$sha256  $zip" | sha256sum --check --status; }

install_missing() {
    local missing=()
    jdk_is_there || missing+=(default-jdk-headless)
    [[ -f $zip ]] || has mvn || missing+=(maven)
    has unzip || missing+=(unzip)
    ((${#missing[@]} == 0)) || install_debian_packages "${missing[@]}"
    jdk_is_there || fail "the JDK here is older than 17, or not whole." "install one from 17 on, or unset JAVA_HOME."
}

fetch() {
    local bundles store=$cache/authorities.p12
    mapfile -t bundles < <(ca_bundles)
    java_command "$here/keycloak/TrustStore.java" "$store" "${bundles[@]}" || return
    MAVEN_OPTS="-Djavax.net.ssl.trustStore=$store -Djavax.net.ssl.trustStorePassword=changeit ${MAVEN_OPTS:-}" \
        mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$cache" || return
    rm -f "$store"
}

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9

if [[ ! -f $home/.built ]]; then
    install_missing
    if [[ ! -f $zip ]] || ! sum_is_right; then
        say "fetching Keycloak $version with Maven"
        attempt "Keycloak could not be fetched" \
            "see above; Maven takes its mirror and proxy from ~/.m2/settings.xml alone, not from the environment." fetch
        if ! sum_is_right; then
            rm -f "$zip"
            fail "what Maven brought is not Keycloak $version (its SHA-256 differs); it is removed." \
                "look at which repository Maven's settings name, and run this again."
        fi
    fi
    rm -rf "$home"
    attempt "$zip could not be unpacked" "make room in $cache, and run this again." unzip -q "$zip" -d "$cache"
    # Built once, so that each start takes a third of the time.
    say "building (about half a minute)"
    attempt "Keycloak could not be built" "see above; Keycloak needs Java 17 or newer." "$home/bin/kc.sh" build --db=dev-file
    touch "$home/.built"
elif ! java_command -version > /dev/null 2>&1; then
    # What an earlier machine left in the cache still needs a Java.
    install_debian_packages default-jre-headless
fi
echo "$home"
