"""Requests to a container engine and its results: plain data."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Mount(msgspec.Struct, frozen=True):
    """A volume mounted at a path of the container: its name, or an absolute path on the engine's machine."""

    volume: str
    target: str
    read_only: bool = False


class Limits(msgspec.Struct, frozen=True):
    """A container's limits: bytes of memory, CPUs (fractions allowed), processes."""

    memory_bytes: int
    cpus: float
    pids: int


def network_of(container: str) -> str:
    """The network of a running container, by its id or name: the same addresses, ports and loopback interface."""
    return f"container:{container}"


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A hardened container: user 1000, read-only root, no capabilities, no new privileges, an init as PID 1.

    `network` is a network's name, `network_of` another container, or None for no network at all. `tmpfs` maps a path to
    its mount options. `env` must contain no secret: inspect shows it.
    """

    name: str
    image: str
    command: list[str]
    labels: dict[str, str]
    limits: Limits
    network: str | None = None
    env: dict[str, str] = {}
    mounts: list[Mount] = []
    tmpfs: dict[str, str] = {}
    working_dir: str = "/work"


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A command in a running container. Its `env` may contain a secret: inspect does not show an exec's environment.

    `time_limit` is in seconds from the start, `silence_limit` in seconds since the last byte of output. If a command
    reaches a limit, its container is ended.
    """

    command: list[str]
    env: dict[str, str] = {}
    working_dir: str | None = None
    time_limit: float | None = None
    silence_limit: float | None = None


class EndReason(StrEnum):
    """Why an exec ended. The exit code is meaningful only for `exited`."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    SILENT = "silent"
    CANCELLED = "cancelled"
    CONTAINER_GONE = "container_gone"


class ExecOutcome(msgspec.Struct, frozen=True):
    """How an exec ended, after the sinks received its last output. `seconds` is wall time."""

    ended: EndReason
    exit_code: int | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it exited with code 0."""
        return self.ended is EndReason.EXITED and self.exit_code == 0


class ContainerState(msgspec.Struct, frozen=True):
    """A container as the engine lists it."""

    name: str
    container_id: str
    running: bool
    labels: dict[str, str]


class VolumeState(msgspec.Struct, frozen=True):
    """A volume as the engine lists it. `created_at` is about when it was created (UTC); None if that is unknown."""

    name: str
    labels: dict[str, str]
    created_at: datetime | None = None


class ImageState(msgspec.Struct, frozen=True):
    """An image of the engine."""

    reference: str
    image_id: str
    labels: dict[str, str]
    size_bytes: int


class UnusedImage(msgspec.Struct, frozen=True):
    """An image that no tag names and no container uses. `size_bytes` is what its removal frees, layers included."""

    image_id: str
    labels: dict[str, str]
    created_at: datetime
    size_bytes: int


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine's version and API version."""

    version: str
    api_version: str
