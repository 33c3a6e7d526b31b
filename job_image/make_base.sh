#!/usr/bin/env bash
# Makes a small base image of this machine's own distribution, where no image can be pulled.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: job_image/make_base.sh [--tag TAG] [--help]

Makes a base image by debootstrap, from the package mirror and the release that this
machine itself is configured for. Needs root, debootstrap and a Docker engine.

  --tag TAG   name of the image (moonmind/base:<release>, such as moonmind/base:bookworm)
TEXT
}

fail() {
    printf 'make_base.sh: %s\n' "$*" >&2
    exit 1
}

tag=
while (($#)); do
    case $1 in
        --tag) tag=${2:?--tag needs a name} && shift 2 ;;
        -h | --help) usage && exit 0 ;;
        *) printf '%s: unknown option: %s\n' "$(basename "$0")" "$1" >&2 && usage >&2 && exit 2 ;;
    esac
done

((EUID == 0)) || fail "debootstrap needs root. Run it as root or with sudo."
if ! command -v debootstrap > /dev/null; then
    echo "installing debootstrap"
    if ! error=$(apt-get -o DPkg::Lock::Timeout=300 update -q 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends debootstrap 2>&1); then
        tail -n 15 <<< "$error" >&2
        fail "debootstrap could not be installed. Install it by hand: apt-get install debootstrap"
    fi
fi
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[[ $release ]] || fail "/etc/os-release names no release (VERSION_CODENAME). Give build.sh a base image with --base."
tag=${tag:-moonmind/base:$release}

# One line a source, as apt itself understands its configuration: address, release, component.
# shellcheck disable=SC2016 # apt fills these in, not the shell
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v r="$release" '($2 == r || $2 == r "-updates" || $2 == r "-security") && ($3 == "main" || $3 == "universe")' |
    sort -u)
# For a mirror list use its first address.
while read -r list; do
    first=$(awk '$1 ~ /^https?:/ {print $1; exit}' "${list#mirror+file:}" 2> /dev/null || true)
    [[ $first ]] && sources=${sources//"$list"/"$first"}
done < <(awk '$1 ~ /^mirror\+file:/ {print $1}' <<< "$sources" | sed 's:/*$::' | sort -u)
mirror=$(awk -v r="$release" '$2 == r && $1 ~ /^https?:/ {print $1; exit}' <<< "$sources")
[[ $mirror ]] || fail "apt on this machine has no http(s) source for $release. Add one, or give build.sh a base image with --base."
components=$(awk -v r="$release" '$2 == r {print $3}' <<< "$sources" | sort -u | paste -sd,)

root=$(mktemp -d /var/tmp/moonmind-base.XXXXXX)
trap 'umount "$root/proc" 2> /dev/null || true; rm -rf --one-file-system "$root"' EXIT
log=$root.log

echo "debootstrap $release (a minute or less)"
if ! debootstrap --variant=minbase --components="$components" "$release" "$root" "$mirror" > "$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "debootstrap did not succeed. Its whole output: $log"
fi

: > "$root/etc/apt/sources.list"
awk '$1 ~ /^https?:/ {print "deb", $1, $2, $3}' <<< "$sources" > "$root/etc/apt/sources.list"
# The release's security fixes, with this machine's own name resolution.
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
if ! chroot "$root" bash -c 'export DEBIAN_FRONTEND=noninteractive LC_ALL=C; apt-get update -q && apt-get upgrade -q -y && apt-get clean' >> "$log" 2>&1 < /dev/null; then
    tail -n 15 "$log" >&2
    fail "the security updates could not be installed. The whole output: $log"
fi
umount "$root/proc"

find "$root/usr/share/doc" -mindepth 1 ! -name copyright ! -type d -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/{locale,man,info,lintian,bash-completion}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
    "$root"/var/cache/debconf/*-old "$root"/var/log/*.log "$root"/var/log/apt "$root"/etc/resolv.conf "$root"/etc/hostname
tar --numeric-owner --one-file-system -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$tag" > /dev/null
rm -f "$log"
echo "made $tag, $(($(docker image inspect --format '{{.Size}}' "$tag") / 1000000)) MB"
