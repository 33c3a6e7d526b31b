#!/usr/bin/env bash
# Installs the appliance from this checkout. What is already there is left as it is; it can be run again at any time.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly env_file=/etc/moonmind-appliance/appliance.env
readonly data_dir=/var/lib/moonmind-appliance
readonly command_link=/usr/local/bin/moonmind-appliance
readonly unit_file=/etc/systemd/system/moonmind-appliance.service
readonly engine_log=/var/log/moonmind-dockerd.log
readonly python_minimum=3.11

usage() {
    cat <<'TEXT'
Usage: sudo ./install.sh [--no-rehearsal] [--prefix DIR] [--help]

Installs the MoonMind appliance from this checkout, on Debian 12 or newer or Ubuntu 24.04
or newer: missing system packages and the Docker engine, a Python environment,
the `moonmind-appliance` command, its folders, a systemd unit, and the job image. Then it
does a rehearsal: a complete run without any account. Run it again to update everything to
this checkout; unchanged steps are skipped.

  --no-rehearsal  skip the rehearsal
  --prefix DIR    folder of the Python environment (/opt/moonmind-appliance)
  --prepare       only what the tests need: the Docker engine, uv and the job image
  --prepare-uv    only uv
  --help          this text

Environment:
  EXTRA_CA_CERTS, SSL_CERT_FILE  CA bundle for downloads, for networks with a TLS proxy;
                  default: the system's bundle. EXTRA_CA_CERTS is also written to the settings,
                  as is the system's bundle if authorities have been added to it.
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY  used for every download
  PIP_INDEX_URL, NPM_CONFIG_REGISTRY  package registries to use instead of the public ones
  DOCKER_HOST     the Docker engine to use, if it is not the local one
TEXT
}

# --- what is said, and where details go -----------------------------------------------------------------------------

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' plain=''
fi

log=
step_number=0
step_total=0
step_name=
step_start=0

say() { printf '      %s\n' "$*"; }

# fail WHAT NEXT: ends the installation with what was wrong and what to do.
fail() {
    printf '%s\n' "${red}install.sh: $1${plain}" "${2:+What to do: $2}" >&2
    exit 1
}

begin_step() {
    step_number=$((step_number + 1))
    step_name=$1
    step_start=${EPOCHREALTIME//[.,]/}
    printf '%s\n' "${bold}[$step_number/$step_total] $step_name${plain}"
    printf '== %s: %s\n' "$(date -u +%FT%TZ)" "$step_name" >> "$log"
}

end_step() {
    local took=$(((${EPOCHREALTIME//[.,]/} - step_start) / 100000))
    printf '      %s\n' "${green}done${plain} ${dim}in $((took / 10)).$((took % 10)) s${plain}"
}

# quietly COMMAND…: output goes to the log; its end is shown when the command fails.
quietly() {
    local start
    start=$(stat -c %s "$log")
    printf '+ %s\n' "$*" >> "$log"
    "$@" >> "$log" 2>&1 < /dev/null && return
    local status=$?
    tail -c "+$((start + 1))" "$log" | tail -n 20 | sed 's/^/      | /' >&2
    fail "\`$1\` failed with exit code $status in the step \"$step_name\"." "read the output above or the full log in $log, then run install.sh again."
}

need_root() {
    ((EUID == 0)) || fail "$1 needs root." "run it again with sudo."
}

has() { command -v "$1" > /dev/null 2>&1; }

# --- the steps ------------------------------------------------------------------------------------------------------

apt_updated=
install_packages() {
    need_root "Installing $*"
    has apt-get || fail "$* is missing, and this system is neither Debian nor Ubuntu." "install it manually and run install.sh again."
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
    if [[ ! $apt_updated ]]; then
        quietly apt-get -o DPkg::Lock::Timeout=300 update -q
        apt_updated=yes
    fi
    say "installing $*"
    quietly apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -q -y --no-install-recommends "$@"
}

system_packages() {
    begin_step "System packages: git, Python $python_minimum or newer with venv, CA certificates"
    local missing=()
    has git || missing+=(git)
    has python3 || missing+=(python3)
    python3 -c 'import ensurepip, venv' > /dev/null 2>&1 || missing+=(python3-venv)
    [[ -s /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
    if ((${#missing[@]})); then
        install_packages "${missing[@]}"
    else
        say "already installed"
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))' "$python_minimum" ||
        fail "$(python3 --version) is too old; Python $python_minimum is needed." "use Debian 12, Ubuntu 24.04 or newer."
    end_step
}

engine_answers() { docker version > /dev/null 2>&1; }

start_engine() {
    need_root "Starting the Docker engine"
    if [[ -d /run/systemd/system ]]; then
        say "starting the docker service"
        quietly systemctl enable --now docker
    else
        say "no systemd: starting dockerd directly, with its log in $engine_log"
        setsid nohup dockerd >> "$engine_log" 2>&1 < /dev/null &
    fi
    local waited
    for ((waited = 0; waited < 300; waited++)); do
        engine_answers && return
        sleep 0.2
    done
    [[ -d /run/systemd/system ]] || tail -n 15 "$engine_log" | sed 's/^/      | /' >&2
    fail "the Docker engine was started but does not respond." "read its log: journalctl -u docker, or $engine_log."
}

docker_engine() {
    begin_step "Docker engine"
    if engine_answers; then
        say "already running"
    elif [[ ${DOCKER_HOST:-} ]]; then
        fail "DOCKER_HOST is $DOCKER_HOST, and no engine responds there." "start that engine, or unset DOCKER_HOST for a local one."
    elif has docker && has dockerd && ((EUID != 0)); then
        fail "a Docker engine is installed but is not accessible to this user." "run it again with sudo, or join the \"docker\" group."
    else
        if ! has dockerd; then
            install_packages docker.io
            # Newer releases keep the client in a package of its own.
            has docker || install_packages docker-cli
        fi
        engine_answers || start_engine
    fi
    say "engine $(docker version --format '{{.Server.Version}}')"
    end_step
}

# The hash of files' names and contents, to see whether something must be done again.
hash_of() { find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64; }

uv_tool() {
    begin_step "uv, which installs Python packages"
    local tools=$prefix/tools stamp
    stamp="$(python3 --version) $(hash_of "$here/requirements-install.txt")"
    if [[ -x $tools/bin/uv && $(cat "$tools/stamp" 2> /dev/null) == "$stamp" ]]; then
        say "already there"
    else
        mkdir -p "$prefix" 2> /dev/null || fail "the folder $prefix cannot be created." "run it again with sudo, or use another --prefix."
        quietly python3 -m venv --clear "$tools"
        quietly "$tools/bin/pip" install --disable-pip-version-check --no-cache-dir --only-binary :all: --require-hashes \
            -r "$here/requirements-install.txt"
        echo "$stamp" > "$tools/stamp"
    fi
    say "$("$tools/bin/uv" --version) in $tools"
    end_step
}

product() {
    begin_step "The appliance, in its own Python environment under $prefix"
    local uv=$prefix/tools/bin/uv venv=$prefix/venv stamp sources=("$here/moonmind_appliance" "$here/pyproject.toml" "$here/requirements.txt")
    [[ -d $here/tui ]] && sources+=("$here/tui")
    stamp="$(python3 --version) $(cd "$here" && hash_of "${sources[@]#"$here"/}")"
    if [[ $(cat "$venv/stamp" 2> /dev/null) == "$stamp" ]]; then
        say "already up to date"
    else
        rm -f "$venv/stamp"
        quietly "$uv" venv --quiet --allow-existing --python "$(command -v python3)" "$venv"
        quietly "$uv" pip sync --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes "$here/requirements.txt"
        quietly "$uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --no-deps --refresh-package moonmind-appliance \
            --build-constraints "$here/requirements-install.txt" "$here"
        echo "$stamp" > "$venv/stamp"
        if [[ -d /run/systemd/system ]] && systemctl is-active --quiet moonmind-appliance; then
            say "the running service is still the old version; restart it: systemctl restart moonmind-appliance"
        fi
    fi
    if [[ $(readlink "$command_link" 2> /dev/null) != "$venv/bin/moonmind-appliance" ]]; then
        mkdir -p "$(dirname "$command_link")"
        ln -sfn "$venv/bin/moonmind-appliance" "$command_link"
        say "$command_link -> $venv/bin/moonmind-appliance"
    fi
    end_step
}

# The CA bundle that job containers must trust too: the caller's, else the machine's where authorities were added to it.
extra_ca_certs() {
    if [[ ${EXTRA_CA_CERTS:-} ]]; then
        echo "$EXTRA_CA_CERTS"
    elif [[ $(find /usr/local/share/ca-certificates -name '*.crt' -print -quit 2> /dev/null) ]]; then
        echo /etc/ssl/certs/ca-certificates.crt
    fi
}

# Every setting with its sentence, commented out, as the installed product itself knows them.
env_template() {
    "$prefix/venv/bin/python" - "$(extra_ca_certs)" <<'PYTHON'
import sys

from moonmind_appliance.settings import default_of, options, show

print("# Settings of the MoonMind appliance, one NAME=value per line. Each can also be given as NAME_FILE=path of a file")
print("# that contains the value. Commented lines show the defaults.")
for name, option in options().items():
    given = sys.argv[1] if name == "EXTRA_CA_CERTS" else ""
    print(f"\n# {option.sentence}")
    print(f"{name}={given}" if given else f"#{name}={show(default_of(name))}")
PYTHON
}

folders_and_settings() {
    begin_step "Data folder and settings"
    if [[ -d $data_dir ]]; then
        say "$data_dir already exists"
    else
        install -d -m 0700 "$data_dir"
        say "created $data_dir"
    fi
    if [[ -e $env_file ]]; then
        say "$env_file already exists and is not changed"
    else
        install -d -m 0755 "$(dirname "$env_file")"
        (umask 077 && env_template > "$env_file.new") || fail "the template of $env_file could not be written." "read the message above."
        mv "$env_file.new" "$env_file"
        say "wrote $env_file: set GITHUB_TOKEN there before the first real run"
        [[ ! $(extra_ca_certs) ]] || say "job containers will trust $(extra_ca_certs) (EXTRA_CA_CERTS there)"
    fi
    end_step
}

service_unit() {
    cat <<UNIT
[Unit]
Description=MoonMind appliance: specification text in, draft pull request out
After=network-online.target docker.service
Wants=network-online.target docker.service

[Service]
ExecStart=$command_link serve
Restart=on-failure
RestartSec=5
# Longer than STOP_GRACE, in which a run in flight is let go of; it is resumed after the start.
TimeoutStopSec=90
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full

[Install]
WantedBy=multi-user.target
UNIT
}

service() {
    begin_step "systemd service"
    if [[ ! -d /run/systemd/system ]]; then
        say "no systemd: start the appliance with \`moonmind-appliance serve\`"
    elif [[ -e $unit_file ]] && cmp -s <(service_unit) "$unit_file"; then
        say "already there"
    else
        service_unit > "$unit_file.new"
        mv "$unit_file.new" "$unit_file"
        quietly systemctl daemon-reload
        say "installed, not started. After editing $env_file: systemctl enable --now moonmind-appliance"
    fi
    end_step
}

job_image() {
    begin_step "Job image: Codex CLI, Spec Kit and git for the containers (up to 2 minutes to build)"
    "$here/job_image/build.sh" < /dev/null 2>&1 | tee -a "$log" | sed 's/^/      /' ||
        fail "the job image could not be built." "read the output above, then run install.sh again; job_image/build.sh --verbose shows everything."
    end_step
}

rehearsal() {
    begin_step "Rehearsal: one complete run against local stand-ins for OpenAI and GitHub"
    "$command_link" rehearse < /dev/null ||
        fail "the rehearsal failed with exit code $?: the appliance is installed but does not work on this machine." \
            "run \`moonmind-appliance doctor\`, then \`moonmind-appliance rehearse\` again."
    end_step
}

# --- which of them --------------------------------------------------------------------------------------------------

prefix=/opt/moonmind-appliance
steps=(system_packages docker_engine uv_tool product folders_and_settings service job_image rehearsal)
while (($#)); do
    case $1 in
        --no-rehearsal) steps=("${steps[@]/#rehearsal/}") && shift ;;
        --prepare) steps=(system_packages docker_engine uv_tool job_image) && shift ;;
        --prepare-uv) steps=(system_packages uv_tool) && shift ;;
        --prefix) prefix=$(realpath -ms -- "${2:?--prefix needs a folder}") && shift 2 ;;
        --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done
read -ra steps <<< "${steps[*]}"
step_total=${#steps[@]}
[[ " ${steps[*]} " == *" product "* ]] && need_root "The installation"

[[ ${EXTRA_CA_CERTS:-} ]] && EXTRA_CA_CERTS=$(realpath -ms -- "$EXTRA_CA_CERTS") && export EXTRA_CA_CERTS
# Downloads trust what the machine, or the caller, trusts.
machine_bundle=/etc/ssl/certs/ca-certificates.crt
for bundle in "${EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}" "$machine_bundle"; do
    [[ $bundle ]] || continue
    if [[ -r $bundle ]]; then
        export SSL_CERT_FILE=$bundle PIP_CERT=$bundle
    elif [[ $bundle != "$machine_bundle" ]]; then
        fail "the CA bundle $bundle cannot be read." "correct EXTRA_CA_CERTS or SSL_CERT_FILE, or unset it."
    fi
    break
done
# uv does not read pip's variable.
[[ ${PIP_INDEX_URL:-} ]] && export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
# The machine's own Python, never a downloaded one; nothing of an environment that the caller has active.
export UV_PYTHON_DOWNLOADS=never PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

log=/var/log/moonmind-appliance-install.log
(umask 077 && : > "$log") 2> /dev/null || log=$(mktemp -t moonmind-appliance-install.XXXXXX)

started=$SECONDS
for step in "${steps[@]}"; do
    "$step"
done
printf '%s\n' "${green}Ready${plain} after $((SECONDS - started)) s. Details: $log"
