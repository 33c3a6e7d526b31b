"""Our specs to the Docker Engine API's JSON bodies: pure, no client, no look at the machine.

Field names and meanings are those of the Engine API, version 1.41 (`POST /containers/create`,
`POST /containers/{id}/exec`), unchanged in later versions.
"""

from collections.abc import Sequence
from typing import Any

from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits, Mount

JOB_UID = 1000
JOB_GID = 1000
JOB_USER = f"{JOB_UID}:{JOB_GID}"

EXEC_MARK = "MOONMIND_EXEC"
"""Variable that every process of one exec inherits, so that those who left its process tree can be found."""

_CPU_PERIOD_MICROSECONDS = 100_000

# The shell says its process id as the first line of stderr and becomes the command: the API tells
# only the host's process id of an exec, which means nothing inside the container.
_ANNOUNCE = 'echo $$ >&2; exec "$@"'

# Ends the process $1, its session, its descendants, and whoever carries the mark $2. The mark alone is not enough:
# Codex forbids others to read its environment. Descent alone neither: an orphan's parent is PID 1. An orphan that shows
# no mark at all hides, and ends with them; the oldest child of PID 1 is the container's own command.
# All is looked through again until nobody is left, as processes fork between the look and the kill.
_END_PROCESSES = """
leader=$1 mark=$2 any_mark=${2%%=*}=
victims() {
  found=" $leader " sessions=" $leader "
  for file in $(grep -alsF -- "$mark" /proc/[0-9]*/environ); do
    pid=${file#/proc/} found="$found${pid%/environ} "
  done
  main= main_began=
  for file in /proc/[0-9]*/stat; do
    read -r line 2>/dev/null <"$file" || continue
    pid=${line%% *}
    set -- ${line##*) }
    [ "$2" = 1 ] || continue
    if [ -z "$main" ] || [ "${20}" -lt "$main_began" ]; then main=$pid main_began=${20}; fi
  done
  grew=yes
  while [ "$grew" ]; do
    grew=
    for file in /proc/[0-9]*/stat; do
      read -r line 2>/dev/null <"$file" || continue
      pid=${line%% *}
      set -- ${line##*) }
      parent=$2 session=$4 known=
      case $found in *" $pid "*) known=yes ;; *" $parent "*) known=new ;; esac
      case $known$sessions in *yes*|new*) ;; *" $session "*) known=new ;; esac
      if [ -z "$known" ] && [ "$parent" = 1 ] && [ "$pid" != "$main" ] &&
        ! grep -qsaF -- "$any_mark" "/proc/$pid/environ"; then
        known=new
      fi
      case $known in '') continue ;; new) found="$found$pid " grew=yes ;; esac
      case $sessions in *" $session "*) ;; *) sessions="$sessions$session " grew=yes ;; esac
    done
  done
  for pid in $found; do
    read -r line 2>/dev/null <"/proc/$pid/stat" || continue
    set -- ${line##*) }
    case $1 in Z|X) ;; *) printf '%s ' "$pid" ;; esac
  done
}
round=0
while [ $round -lt 40 ]; do
  alive=$(victims)
  [ "$alive" ] || exit 0
  kill -KILL $alive 2>/dev/null
  round=$((round + 1))
done
exit 1
"""


def container_body(spec: ContainerSpec) -> dict[str, Any]:
    """The body that creates the container, hardened; the name is a query parameter of its own.

    Raises:
        ValueError: the command is empty.
    """
    if not spec.command:
        raise ValueError("a container needs a command")
    return {
        "Image": spec.image,
        # The spec's command is all that runs: an entrypoint of the image would wrap it.
        "Entrypoint": [],
        "Cmd": list(spec.command),
        "User": JOB_USER,
        "WorkingDir": spec.working_dir,
        "Env": environment(spec.env),
        "Labels": dict(sorted(spec.labels.items())),
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec),
    }


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "NetworkMode": spec.network or "none",
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "Tmpfs": {path: tmpfs_options(given, spec.limits) for path, given in sorted(spec.tmpfs.items())},
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "IpcMode": "private",
        "Init": True,
        "Memory": spec.limits.memory_bytes,
        "MemorySwap": spec.limits.memory_bytes,  # the sum of both: no swap
        # Not NanoCpus: the engine refuses those where the machine has fewer CPUs.
        "CpuPeriod": _CPU_PERIOD_MICROSECONDS,
        "CpuQuota": round(spec.limits.cpus * _CPU_PERIOD_MICROSECONDS),
        "PidsLimit": spec.limits.pids,
        # A core dump in the workspace would hold the login's tokens.
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Source": mount.volume,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        # An empty volume takes the image's owner and mode of that folder.
        "VolumeOptions": {"NoCopy": False},
    }


def tmpfs_options(given: str, limits: Limits) -> str:
    """The mount options of a tmpfs: what is given, and user 1000 and a bounded size where those are not.

    Docker adds `noexec,nosuid,nodev`; `exec` must be given where programs are to run. Without a size a tmpfs may
    grow until the memory limit kills the job; half of that limit is a "no space left" instead.
    """
    options = [option for option in given.split(",") if option]
    names = {option.partition("=")[0] for option in options}
    defaults = {"uid": JOB_UID, "gid": JOB_GID, "mode": "0700", "size": limits.memory_bytes // 2}
    return ",".join([*options, *(f"{name}={value}" for name, value in defaults.items() if name not in names)])


def environment(env: dict[str, str]) -> list[str]:
    """`NAME=value` lines in the order of the names."""
    return [f"{name}={value}" for name, value in sorted(env.items())]


def exec_arguments(spec: ExecSpec, mark: str) -> dict[str, Any]:
    """Keyword arguments of docker-py's `exec_create`, its container left out. No stdin is attached: it reads as empty.

    Args:
        spec: what to run. It runs behind a shell that says its process id on stderr's first line and then is replaced.
        mark: unique among the execs of the container, see `EXEC_MARK`.

    Raises:
        ValueError: the command is empty.
    """
    if not spec.command:
        raise ValueError("an exec needs a command")
    return {
        "cmd": ["/bin/sh", "-c", _ANNOUNCE, "sh", *spec.command],
        "environment": environment({**spec.env, EXEC_MARK: mark}),
        "workdir": spec.working_dir,
        "user": JOB_USER,
        "stdin": False,
        "stdout": True,
        "stderr": True,
        "tty": False,
        "privileged": False,
    }


def end_processes(leader: int | None, mark: str) -> ExecSpec:
    """The exec that ends another exec's processes; it says 0 when none is left.

    Args:
        leader: process id of that exec inside the container, None where it is not known.
        mark: the other exec's mark.
    """
    return ExecSpec(
        command=[
            "/bin/sh",
            "-c",
            _END_PROCESSES,
            "sh",
            str(leader or "none"),
            f"{EXEC_MARK}={mark}",
        ],
        working_dir="/",
    )


def pack_files(paths: Sequence[str]) -> ExecSpec:
    """The exec that writes these files to stdout as a tar archive; it says other than 0 where one is missing."""
    return ExecSpec(
        command=[
            "/bin/tar",
            "--create",
            "--file=-",
            "--format=posix",
            "--no-recursion",
            "--hard-dereference",
            "--absolute-names",
            "--no-wildcards",
            "--",
            *paths,
        ],
        working_dir="/",
        time_limit=120,
    )
