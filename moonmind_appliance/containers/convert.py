"""Converts specs to the Docker Engine API's JSON bodies. Pure: no client, no input or output.

Field names and meanings are those of the Engine API, version 1.41 (`POST /containers/create`,
`POST /containers/{id}/exec`), unchanged in later versions.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits, Mount, UnusedImage, VolumeState

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
    # A container without a network would get a copy of the host's resolver settings.
    dns = {} if spec.network else {"Dns": ["127.0.0.1"], "DnsSearch": ["."]}
    return {
        **dns,
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


def exec_arguments(spec: ExecSpec, *, reads_stdin: bool = False) -> dict[str, Any]:
    """Keyword arguments of docker-py's `exec_create`, without its container. Without an attached stdin, it is empty.

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
        "stdin": reads_stdin,
        "stdout": True,
        "stderr": True,
        "tty": False,
        "privileged": False,
    }


def volume_state(listed: Mapping[str, Any]) -> VolumeState:
    """A volume of `GET /volumes`. Its `CreatedAt` is optional, and drivers are free in its form."""
    try:
        created_at = datetime.fromisoformat(listed.get("CreatedAt") or "")
    except ValueError:
        created_at = None
    if created_at is not None and created_at.tzinfo is None:
        created_at = None
    return VolumeState(listed["Name"], listed["Labels"] or {}, created_at)


def unused_images(unused: Sequence[Mapping[str, Any]], everything: Sequence[Mapping[str, Any]]) -> list[UnusedImage]:
    """The images of `GET /images/json`, oldest first, each with the bytes that only it and the ones before it use.

    An image's `Size` includes its parents'. A parent goes with its last child, unless a tag names it. BuildKit's images
    have no parents; those of engines from API 1.42 on may have a `SharedSize` instead.

    Args:
        unused: the images to convert.
        everything: all images of the engine, with the intermediate ones.
    """
    by_id = {each["Id"]: each for each in everything}
    gone = {each["Id"] for each in unused}
    parents = {each.get("ParentId") for each in everything}
    kept: set[str] = set()
    for each in everything:
        if each["Id"] not in gone and (_is_named(each) or each["Id"] not in parents):
            kept |= set(_with_parents(each["Id"], by_id))
    found = []
    for image in sorted(unused, key=lambda each: (each["Created"], each["Id"])):
        size = 0
        for image_id in _with_parents(image["Id"], by_id):
            if image_id in kept:
                break
            kept.add(image_id)
            layer = by_id[image_id]
            parent = by_id.get(layer.get("ParentId") or "", {})
            size += max(0, layer["Size"] - parent.get("Size", 0) - max(0, layer.get("SharedSize") or 0))
        created = datetime.fromtimestamp(image["Created"], UTC)
        found.append(UnusedImage(image["Id"], image["Labels"] or {}, created, size))
    return found


def _is_named(image: Mapping[str, Any]) -> bool:
    return any(tag != "<none>:<none>" for tag in image.get("RepoTags") or [])


def _with_parents(image_id: str, by_id: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The image's id and those of its parents, upwards."""
    while image_id in by_id:
        yield image_id
        image_id = by_id[image_id].get("ParentId") or ""
