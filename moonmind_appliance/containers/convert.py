"""Converts specs to the Docker Engine API's JSON bodies. Pure: no client, no input or output.

Field names and meanings are those of the Engine API, version 1.41 (`POST /containers/create`,
`POST /containers/{id}/exec`), unchanged in later versions.
"""

from typing import Any

from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits, Mount

JOB_UID = 1000
JOB_GID = 1000
JOB_USER = f"{JOB_UID}:{JOB_GID}"

_CPU_PERIOD_MICROSECONDS = 100_000


def container_body(spec: ContainerSpec) -> dict[str, Any]:
    """The body that creates the container, hardened. The name is a query parameter.

    Raises:
        ValueError: the command is empty.
    """
    if not spec.command:
        raise ValueError("a container needs a command")
    return {
        "Image": spec.image,
        # No entrypoint: the image's own would wrap the spec's command.
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
        "MemorySwap": spec.limits.memory_bytes,  # memory and swap together, so no swap
        # Not NanoCpus: the engine refuses more of those than the machine has CPUs.
        "CpuPeriod": _CPU_PERIOD_MICROSECONDS,
        "CpuQuota": round(spec.limits.cpus * _CPU_PERIOD_MICROSECONDS),
        "PidsLimit": spec.limits.pids,
        # A core dump in the workspace would contain the login's tokens.
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.volume.startswith("/"):
        return {"Type": "bind", "Source": mount.volume, "Target": mount.target, "ReadOnly": mount.read_only}
    return {
        "Type": "volume",
        "Source": mount.volume,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        # An empty volume takes the image's owner and mode of that folder.
        "VolumeOptions": {"NoCopy": False},
    }


def tmpfs_options(given: str, limits: Limits) -> str:
    """The mount options of a tmpfs: the given ones, and defaults for owner, mode and size.

    Docker adds `noexec,nosuid,nodev`; give `exec` to run programs there. A tmpfs without a size grows until the memory
    limit kills the job; with half of that limit, a write fails with "no space left" instead.
    """
    options = [option for option in given.split(",") if option]
    names = {option.partition("=")[0] for option in options}
    defaults = {"uid": JOB_UID, "gid": JOB_GID, "mode": "0700", "size": limits.memory_bytes // 2}
    return ",".join([*options, *(f"{name}={value}" for name, value in defaults.items() if name not in names)])


def environment(env: dict[str, str]) -> list[str]:
    """`NAME=value` lines, sorted by name."""
    return [f"{name}={value}" for name, value in sorted(env.items())]


def exec_arguments(spec: ExecSpec) -> dict[str, Any]:
    """Keyword arguments of docker-py's `exec_create`, without its container. No stdin is attached: it reads as empty.

    Raises:
        ValueError: the command is empty.
    """
    if not spec.command:
        raise ValueError("an exec needs a command")
    return {
        "cmd": list(spec.command),
        "environment": environment(spec.env),
        "workdir": spec.working_dir,
        "user": JOB_USER,
        "stdin": False,
        "stdout": True,
        "stderr": True,
        "tty": False,
        "privileged": False,
    }
