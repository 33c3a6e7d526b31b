"""What a `FakeEngine` has: images, volumes with their files, and containers."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from moonmind_appliance.models import ContainerSpec


@dataclass
class FakeFile:
    """A regular file of a volume or an image."""

    content: bytes
    mode: int = 0o600
    uid: int = 1000


@dataclass
class FakeVolume:
    """A volume: folders and files by their path below it, "" is its root. `others` are symlinks and such."""

    labels: dict[str, str]
    created_at: datetime | None = None
    folders: set[str] = field(default_factory=lambda: {""})
    files: dict[str, FakeFile] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)


@dataclass
class FakeImage:
    """An image: its labels, and its files by absolute path."""

    labels: dict[str, str] = field(default_factory=dict)
    files: dict[str, FakeFile] = field(default_factory=dict)


@dataclass
class FakeContainer:
    """A container; `ended` is set when it is killed, removed or was never started."""

    spec: ContainerSpec
    container_id: str
    ended: threading.Event
    started: bool

    @property
    def running(self) -> bool:
        """Its main command runs."""
        return self.started and not self.ended.is_set()
