#!/usr/bin/env bash
# Installs the appliance from this checkout, or removes it. Steps that are already done are skipped, so it can be run again.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# DESTDIR moves every path outside --prefix below another folder.
readonly here system=${DESTDIR:-}
readonly env_file=$system/etc/moonmind-appliance/appliance.env
readonly data_dir=$system/var/lib/moonmind-appliance
readonly command_link=$system/usr/local/bin/moonmind-appliance
readonly unit_file=$system/etc/systemd/system/moonmind-appliance.service
readonly install_log=$system/var/log/moonmind-appliance-install.log
readonly engine_log=$system/var/log/moonmind-dockerd.log
readonly systemd_runs=$system/run/systemd/system
readonly default_prefix=/opt/moonmind-appliance
readonly python_minimum=3.11
readonly job_image_tag=moonmind/spec-automation-job:latest

usage() {
    cat <<'TEXT'
Usage: sudo ./install.sh [--no-rehearsal] [--prefix DIR] [--relink] [--from FILE]
       sudo ./install.sh --uninstall [--purge-data] [--prefix DIR]
       ./install.sh --prepare | --prepare-uv | --help

Installs the MoonMind appliance from this checkout, on Debian 12 or newer or Ubuntu 24.04
or newer: missing system packages and the Docker engine, a Python environment,
the `moonmind-appliance` command, its folders, a systemd unit, and the job image. Then it
does a rehearsal: a complete run without any account. Run it again to update everything to
this checkout; unchanged steps are skipped.

  --no-rehearsal  skip the rehearsal
  --prefix DIR    folder of the Python environment (/opt/moonmind-appliance)
  --relink        let the `moonmind-appliance` command run this installation, if it runs
                  another one. Without it, the command is not changed
  --from FILE     install the version in this release file instead of this checkout, with the Python
                  packages in it; the same as FILE install
  --uninstall     remove the appliance: service, command, Python environment, workspaces,
                  images and log. Keeps data, settings and logins; keeps Docker, git and Python
  --purge-data    with --uninstall: also remove the data, the settings and the ChatGPT logins
  --prepare       only what the tests need: the Docker engine, uv and the job image
  --prepare-uv    only uv
  -h, --help      this text

Environment:
  EXTRA_CA_CERTS, SSL_CERT_FILE  CA bundle for downloads, for networks with a TLS proxy;
                  default: the system's bundle. EXTRA_CA_CERTS is also written to the settings,
                  as is the system's bundle if authorities have been added to it.
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY  used for every download
  GITHUB_HTTPS_PROXY, GITHUB_NO_PROXY  written to new settings: the proxy to GitHub during operation
  PIP_INDEX_URL, NPM_CONFIG_REGISTRY  package registries to use instead of the public ones
  DOCKER_HOST     the Docker engine to use, if it is not the local one
  DESTDIR         folder to put before every path outside --prefix, to try the script

Exit codes: 0 done, 1 failed, 2 wrong options, 130 stopped with Ctrl-C.
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

# wrong_usage WHAT [NEXT]: ends with 2, before anything is done.
wrong_usage() {
    printf '%s\n' "${red}install.sh: $1${plain}" "What to do: ${2:-./install.sh --help shows the options.}" >&2
    exit 2
}

need_root() {
    [[ $system ]] || ((EUID == 0)) || fail "$1 needs root." "run it again with sudo."
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
    if [[ -d $systemd_runs ]]; then
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
    [[ -d $systemd_runs ]] || tail -n 15 "$engine_log" | sed 's/^/      | /' >&2
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
    local uv=$prefix/tools/bin/uv venv=$prefix/venv stamp sources=("$here/moonmind_appliance" "$here/pyproject.toml" "$here/requirements.txt" "$here/job_image/sbom.py")
    [[ -d $here/tui ]] && sources+=("$here/tui")
    stamp="$(python3 --version) $(cd "$here" && hash_of "${sources[@]#"$here"/}")"
    if [[ $(cat "$venv/stamp" 2> /dev/null) == "$stamp" ]]; then
        say "already up to date"
    else
        rm -f "$venv/stamp"
        quietly "$uv" venv --quiet --allow-existing --python "$(command -v python3)" "$venv"
        # No cache: it would stay in the caller's home folder.
        quietly "$uv" pip sync --no-cache --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes "$here/requirements.txt"
        quietly "$uv" pip install --no-cache --quiet --python "$venv/bin/python" --compile-bytecode --no-deps \
            --build-constraints "$here/requirements-install.txt" "$here"
        write_sbom
        echo "$stamp" > "$venv/stamp"
        if [[ -d $systemd_runs ]] && systemctl is-active --quiet moonmind-appliance; then
            say "the running service is still the old version; restart it: systemctl restart moonmind-appliance"
        fi
    fi
    link_command
    end_step
}

# The packages of the Python environment, in CycloneDX format.
write_sbom() {
    local python=$prefix/venv/bin/python version folder
    version=$("$python" -c 'from importlib.metadata import version; print(version("moonmind-appliance"))')
    folder=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$python" "$here/job_image/sbom.py" moonmind-appliance "$version" --python "$folder" > "$prefix/venv/sbom.cdx.json" ||
        fail "the SBOM of $prefix/venv could not be written." "read the message above, then run install.sh again."
}

# The system's command runs one installation. A command of another one is replaced with --relink only.
link_command() {
    local target=$prefix/venv/bin/moonmind-appliance current
    current=$(readlink "$command_link" 2> /dev/null || true)
    if [[ $current == "$target" ]]; then
        return
    elif [[ -e $command_link && ! $current ]]; then
        say "$command_link is not a link, so it is not changed; use $target"
    elif [[ -e $command_link && ! $relink ]]; then
        say "$command_link runs $current and is not changed; use $target, or run install.sh again with --relink"
    else
        mkdir -p "$(dirname "$command_link")"
        ln -sfn "$target" "$command_link"
        say "$command_link -> $target"
    fi
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
import os
import sys

from moonmind_appliance.settings import default_of, options, show

# Not as arguments: a proxy's URL may contain a password.
caller = {name: os.environ.get(name, "").strip() for name in ("GITHUB_HTTPS_PROXY", "GITHUB_NO_PROXY")}
caller["EXTRA_CA_CERTS"] = sys.argv[1]

print("# Settings of the MoonMind appliance, one NAME=value per line. Each can also be given as NAME_FILE=path of a file")
print("# that contains the value. Commented lines show the defaults.")
for name, option in options().items():
    given = caller.get(name, "")
    print(f"\n# {option.sentence}")
    print(f"{name}={given}" if given else f"#{name}={show(name, default_of(name))}")
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
        say "wrote $env_file: set GITHUB_TOKEN (or a GitHub App) there before the first real run"
        [[ ! $(extra_ca_certs) ]] || say "job containers will trust $(extra_ca_certs) (EXTRA_CA_CERTS there)"
    fi
    end_step
}

# The folders that the service writes to: the data folder of the settings, and the targets of its links.
writable_folders() {
    local python=$prefix/venv/bin/python
    [[ -x $python ]] && "$python" - "$env_file" 2>> "${log:-/dev/null}" <<'PYTHON' && return
import sys
from pathlib import Path

from moonmind_appliance.cli.configuration import configure

folder = configure({}, Path(sys.argv[1])).settings.moonmind_data_dir
links = [folder / name for name in ("runs", "backups")]
for path in [folder, *(link.resolve() for link in links if link.is_symlink())]:
    print(path)
PYTHON
    echo "${data_dir#"$system"}"
}

service_unit() {
    local folders folder writable='' make=''
    mapfile -t folders < <(writable_folders)
    for folder in "${folders[@]//%/%%}"; do
        make+="ExecStartPre=+/bin/mkdir -p -m 0700 -- \"$folder\""$'\n'
        writable+="ReadWritePaths=\"$folder\""$'\n'
    done
    cat <<UNIT
[Unit]
Description=MoonMind appliance: specification text in, draft pull request out
After=network-online.target docker.service
Wants=network-online.target docker.service
# No limit on restarts: what prevents a start, such as a full disk, may resolve by itself.
StartLimitIntervalSec=0

[Service]
# The appliance reports when it accepts requests, and then that it is alive.
Type=notify
ExecStart=${command_link#"$system"} serve
# Also after a SIGTERM that systemd did not send. \`systemctl stop\` is not a reason to restart.
Restart=always
RestartSec=5
WatchdogSec=60
# STOP_GRACE (30 s) for the running phases, 10 s to interrupt them, and some for connections and jobs.
TimeoutStopSec=90
UMask=0077
# Each connection and each event stream is an open file.
LimitNOFILE=65536
# The process has tokens in its memory.
LimitCORE=0

# Files: the process can write only to the data folder and to its own /tmp. The data folder must exist before the rest becomes read-only.
${make}${writable}ProtectSystem=strict
# Readable: a setting may name a file or the socket of an engine there.
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
RestrictSUIDSGID=yes
# The kernel and the machine.
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
# Unix sockets: the engine and systemd. IP: callers and GitHub. Netlink: the C library reads the machine's addresses.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# Root for the engine's socket. It may read files of other users that a setting names, remove workspaces in a folder,
# and listen on a port below 1024.
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
UNIT
}

service() {
    begin_step "systemd service"
    if [[ ! -d $systemd_runs ]]; then
        say "no systemd: start the appliance with \`moonmind-appliance serve\`"
    elif ! owns_command; then
        # A command of another version might not report to systemd what the unit expects.
        say "the unit is not changed: $command_link runs $(readlink "$command_link"); --relink changes both"
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
    "$prefix/venv/bin/moonmind-appliance" rehearse < /dev/null ||
        fail "the rehearsal failed with exit code $?: the appliance is installed but does not work on this machine." \
            "run \`moonmind-appliance doctor\`, then \`moonmind-appliance rehearse\` again."
    end_step
}

next_steps() {
    local command=$prefix/venv/bin/moonmind-appliance
    # The short name only if a shell finds this installation by it.
    [[ ! $(command -v moonmind-appliance) -ef $command ]] || command=moonmind-appliance
    printf '%s\n' "Next, set GITHUB_TOKEN in $env_file, or a GitHub App (docs/github-app.md). Then sign in, and check the settings and connections:" \
        "  $command login-shard 0" "  $command doctor"
}

# --- uninstall ------------------------------------------------------------------------------------------------------

# Whether the command and the service are those of $prefix: another installation's are not removed with this one.
owns_command() {
    local current
    current=$(readlink "$command_link" 2> /dev/null || true)
    [[ ! $current || $current == "$prefix/"* ]]
}

stop_service() {
    begin_step "systemd service"
    if [[ ! -e $unit_file ]]; then
        say "not installed"
    elif ! owns_command; then
        say "left: $command_link runs $(readlink "$command_link")"
    else
        [[ ! -d $systemd_runs ]] || quietly systemctl disable --now moonmind-appliance
        rm -f "$unit_file"
        [[ ! -d $systemd_runs ]] || quietly systemctl daemon-reload
        say "stopped and removed"
    fi
    end_step
}

# Docker objects and data are removed by the product itself, which knows their names.
purge() {
    local command=$prefix/venv/bin/moonmind-appliance options=(--yes)
    [[ ! $purge_data ]] || options+=(--logins --data)
    begin_step "Containers and workspaces${purge_data:+, logins and data}"
    if ! owns_command; then
        say "left: they belong to the installation that $command_link runs"
    elif [[ -x $command ]]; then
        "$command" purge "${options[@]}" < /dev/null 2>&1 | tee -a "$log" | sed 's/^/      /' ||
            fail "\`$command purge ${options[*]}\` failed." "do what the message above says, then run install.sh --uninstall again."
    else
        say "$command is missing; \`docker volume ls --filter label=moonmind.appliance\` lists the volumes that are left"
    fi
    if [[ $purge_data ]] && owns_command; then
        rm -f "$env_file"
        rmdir "$(dirname "$env_file")" 2> /dev/null || true
        [[ ! -d $data_dir ]] || rmdir "$data_dir" 2> /dev/null || say "left: $data_dir contains files that are not the appliance's"
    else
        say "kept: $data_dir, $env_file and the ChatGPT logins"
    fi
    end_step
}

# remove_image IMAGE: or says why it stays.
remove_image() {
    local error
    if error=$(docker image rm "$1" 2>&1 > /dev/null); then
        say "removed $1"
    else
        say "left $1: ${error##*: }"
    fi
}

images() {
    begin_step "Images"
    local image
    if ! owns_command; then
        say "left: the installation that $command_link runs uses them"
    elif ! engine_answers; then
        say "no Docker engine responds, so there is nothing to remove"
    else
        docker image inspect "$job_image_tag" > /dev/null 2>&1 && remove_image "$job_image_tag"
        # Untagged images of the builds. The base image goes last: they are made from it.
        quietly docker image prune --force --filter label=moonmind.build
        for image in $(docker image ls --format '{{.Repository}}:{{.Tag}}' moonmind/base); do
            remove_image "$image"
        done
        say "removed untagged images of the builds"
    fi
    end_step
}

command_and_environment() {
    begin_step "Command and Python environment"
    if [[ -L $command_link && $(readlink "$command_link") == "$prefix/"* ]]; then
        rm -f "$command_link"
        say "removed $command_link"
    fi
    rm -rf "$prefix/venv" "$prefix/tools"
    if [[ -d $prefix ]] && ! rmdir "$prefix" 2> /dev/null; then
        say "left: $prefix contains other files"
    fi
    say "removed $prefix/venv and $prefix/tools"
    end_step
}

# --- which of them --------------------------------------------------------------------------------------------------

# Sourced by a test of one step.
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0

prefix='' rehearse=yes relink='' purge_data='' mode='' release_file=''
set_prefix() {
    [[ $1 ]] || wrong_usage "--prefix needs a folder, and it is empty."
    [[ $1 != -* ]] || wrong_usage "--prefix needs a folder, and $1 looks like an option; write ./$1 for a folder of that name."
    local folder above
    folder=$(realpath -ms -- "$1")
    [[ $folder != / ]] || wrong_usage "--prefix needs a folder of its own, not /."
    above=$folder
    while [[ ! -e $above ]]; do above=$(dirname "$above"); done
    [[ -d $above ]] || wrong_usage "--prefix $1: $above is not a folder."
    [[ ! $prefix || $prefix == "$folder" ]] || wrong_usage "--prefix is given twice: $prefix and $folder."
    prefix=$folder
}
set_release_file() {
    [[ $1 && $1 != -* ]] || wrong_usage "--from needs a release file: --from FILE."
    [[ -r $1 && ! -d $1 ]] || wrong_usage "--from $1: there is no such file, or it cannot be read."
    [[ ! $release_file ]] || wrong_usage "--from is given twice: $release_file and $1."
    release_file=$1
}
set_mode() {
    [[ ! $mode || $mode == "$1" ]] || wrong_usage "$mode and $1 cannot be combined."
    mode=$1
}
while (($#)); do
    case $1 in
        --prefix)
            (($# > 1)) || wrong_usage "--prefix needs a folder: --prefix DIR."
            set_prefix "$2"
            shift
            ;;
        --prefix=*) set_prefix "${1#*=}" ;;
        --from)
            (($# > 1)) || wrong_usage "--from needs a release file: --from FILE."
            set_release_file "$2"
            shift
            ;;
        --from=*) set_release_file "${1#*=}" ;;
        --no-rehearsal) rehearse='' ;;
        --relink) relink=yes ;;
        --purge-data) purge_data=yes ;;
        --prepare | --prepare-uv | --uninstall) set_mode "$1" ;;
        -h | --help) usage && exit 0 ;;
        --no-rehearsal=* | --relink=* | --purge-data=* | --prepare=* | --prepare-uv=* | --uninstall=* | --help=*)
            wrong_usage "${1%%=*} takes no value."
            ;;
        *) wrong_usage "unknown option: $1" ;;
    esac
    shift
done
[[ ! $purge_data || $mode == --uninstall ]] || wrong_usage "--purge-data is for --uninstall only."
[[ ! $mode || ! $relink ]] || wrong_usage "$mode and --relink cannot be combined."
[[ ! $mode || $rehearse ]] || wrong_usage "$mode and --no-rehearsal cannot be combined."
[[ ! $mode || ! $release_file ]] || wrong_usage "$mode and --from cannot be combined."

if [[ $release_file ]]; then
    has python3 || fail "Python 3 is missing, which reads $release_file." "install it: apt-get install python3."
    options=()
    [[ $rehearse ]] || options+=(--no-rehearsal)
    [[ ! $relink ]] || options+=(--relink)
    [[ ! $prefix ]] || options+=(--prefix "$prefix")
    python3 -I -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).getinfo("source/install.sh")' "$release_file" 2> /dev/null ||
        wrong_usage "--from $release_file: not a release file, or it is incomplete." "use the .pyz file of a release."
    exec python3 "$release_file" install "${options[@]}"
fi

case $mode in
    --prepare) steps=(system_packages docker_engine uv_tool job_image) ;;
    --prepare-uv) steps=(system_packages uv_tool) ;;
    --uninstall)
        need_root "The removal"
        steps=(stop_service purge images command_and_environment)
        # Without --prefix: the installation that the command runs.
        target=$(readlink "$command_link" 2> /dev/null || true)
        [[ $prefix || $target != */venv/bin/moonmind-appliance ]] || prefix=${target%/venv/bin/moonmind-appliance}
        ;;
    *)
        need_root "The installation"
        steps=(system_packages docker_engine uv_tool product folders_and_settings service job_image ${rehearse:+rehearsal})
        ;;
esac
prefix=${prefix:-$default_prefix}
step_total=${#steps[@]}

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

log=$install_log
if [[ $mode == --uninstall ]] || ! (umask 077 && : > "$log") 2> /dev/null; then
    log=$(mktemp -t moonmind-appliance-install.XXXXXX)
fi

trap 'printf "\n%s\n" "${red}install.sh: stopped; run it again to continue.${plain}" >&2; exit 130' INT
started=$SECONDS
for step in "${steps[@]}"; do
    "$step"
done
if [[ $mode == --uninstall ]]; then
    rm -f "$log"
    ! owns_command || rm -f "$install_log"
    printf '%s\n' "${green}Removed${plain} after $((SECONDS - started)) s."
else
    printf '%s\n' "${green}Ready${plain} after $((SECONDS - started)) s. Details: $log"
    [[ $mode ]] || next_steps
fi
