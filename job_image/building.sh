# What the build scripts of the images share; they source it. Messages go out under the name of the caller.
# shellcheck shell=bash
readonly pull_seconds=120
building_here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly building_here
# The label that says what an image was made of; the caller may choose another.
content_label=moonmind.image.content

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

need_engine() {
    docker version > /dev/null 2>&1 ||
        fail "no Docker engine answers. Start it (systemctl start docker), or set DOCKER_HOST to the one to use."
}

has_image() { docker image inspect "$1" > /dev/null 2>&1; }

# pick_base PUBLIC: prints the base image to use; the public one, or one made here where it cannot be pulled. With $force,
# one that was made here earlier is made again.
pick_base() {
    local public=$1 made error
    # shellcheck source=/dev/null
    made=moonmind/base:$(. /etc/os-release && echo "${VERSION_CODENAME:-local}")
    if has_image "$public"; then
        echo "$public"
    elif [[ ! ${force:-} ]] && has_image "$made"; then
        echo "$made"
    elif error=$(timeout "$pull_seconds" docker pull -q "$public" 2>&1); then
        echo "$public"
    else
        say "$public cannot be pulled (${error:-no answer in $pull_seconds s}); making a base image here." >&2
        "$building_here/make_base.sh" --tag "$made" >&2 || return
        echo "$made"
    fi
}

# hash_of_folder FOLDER WORD…: of the files' names and contents, and the words.
hash_of_folder() {
    local folder=$1
    shift
    (cd "$folder" && find . -type f -print0 | sort -z | xargs -0 sha256sum && printf '%s\n' "$@") | sha256sum | cut -c1-16
}

# made_of TAG CONTENT: whether the image is there and made of that content.
made_of() {
    local label="{{index .Config.Labels \"$content_label\"}}"
    [[ $(docker image inspect --format "$label" "$1" 2> /dev/null || true) == "$2" ]]
}

# put_ca_bundle FILE: the bundle that downloads trust, where there is one.
put_ca_bundle() {
    local bundle
    for bundle in "${EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
        [[ $bundle ]] || continue
        if [[ -r $bundle ]]; then
            cp "$bundle" "$1"
            return
        fi
        say "The CA bundle $bundle cannot be read; trying the next."
    done
}

# build TAG CONTENT DOCKERFILE CONTEXT OPTION…: builds, quietly unless $verbose; shows the end of the output on failure.
build() {
    local tag=$1 content=$2 dockerfile=$3 context=$4 log name older status=0
    local options=(--file "$dockerfile" --tag "$tag" --label "$content_label=$content" "${@:5}")
    # By name only: a value may contain a password, which would be visible in this process's arguments.
    for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy PIP_INDEX_URL; do
        [[ ${!name:-} ]] && options+=(--build-arg "$name")
    done
    older=$(docker image inspect --format '{{.Id}}' "$tag" 2> /dev/null || true)
    log=$(mktemp -t image-build.XXXXXX)
    if [[ ${verbose:-} ]]; then
        docker build "${options[@]}" "$context" 2>&1 | tee "$log" || status=$?
    else
        docker build "${options[@]}" "$context" > "$log" 2>&1 || status=$?
    fi
    # The build's own checks, without what a newer builder puts before their lines.
    sed -nE 's/^(#[0-9]+ [0-9.]+ )?(ok|FAIL)  /  \2  /p' "$log"
    if ((status)); then
        [[ ${verbose:-} ]] || tail -n 25 "$log" >&2
        fail "$tag could not be built. The whole output: $log"
    fi
    rm -f "$log"
    # What the tag named before; it stays where another tag or a container still needs it.
    [[ ! $older ]] || docker image rm "$older" > /dev/null 2>&1 || true
    say "$tag: $(($(docker image inspect --format '{{.Size}}' "$tag") / 1000000)) MB"
}
