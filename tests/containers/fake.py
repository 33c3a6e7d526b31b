"""An engine without Docker, in memory, for tests of the layers above.

Commands do not run: `on_exec` defines what each one does. Containers share the files of a volume. The contract tests
check this engine and the real one against the same rules.
"""

import itertools
import posixpath
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.errors import (
    ContainerNotFound,
    EngineError,
    ImageNotFound,
    NameTaken,
    UnreadableFile,
)
from moonmind_appliance.models import (
    ContainerSpec,
    ContainerState,
    EndReason,
    EngineInfo,
    ExecOutcome,
    ExecSpec,
    ImageState,
    Mount,
    UnusedImage,
    VolumeState,
    network_of,
)
from tests.containers.fake_exec import Answer, ExecEnded, FakeExec, FakePrepared, is_broker, serve_broker, serve_egress
from tests.containers.fake_objects import FakeContainer, FakeFile, FakeImage, FakeVolume

JOB_IMAGE = "moonmind/spec-automation-job:latest"

Matcher = str | Callable[[ContainerSpec, ExecSpec], bool]
"""A part of the command, its words joined with spaces; or a predicate on the container and the command."""


@dataclass
class _Fault:
    method: str | None
    calls_left: int
    error: EngineError
    times: int


class FakeEngine:
    """Implements `ContainerEngine`. Besides the contract: `on_exec`, `fail`, and attributes that tests read."""

    def __init__(self) -> None:
        self.images: dict[str, FakeImage] = {JOB_IMAGE: FakeImage()}
        self.unused: list[UnusedImage] = []
        self.networks: dict[str, dict[str, str]] = {}
        self.volume_data: dict[str, FakeVolume] = {}
        self.container_data: dict[str, FakeContainer] = {}
        self.calls: list[tuple[str, str]] = []
        """Every call, in order: the method, and the name or reference that it was called with."""
        self.execs: list[tuple[str, ExecSpec]] = []
        """Every command that was started, in order, with its container's name."""
        self.prepared: list[FakePrepared] = []
        """Every command that was started in advance, in order."""
        self._answers: list[tuple[Matcher, Answer]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        # Each run has one; it serves until its container ends.
        self.on_exec("egress_proxy", serve_egress)
        self.on_exec(is_broker, serve_broker)
        self.on_exec("renewal_wait", 0)

    # For tests

    def on_exec(self, matcher: Matcher, answer: Answer) -> None:
        """Define what matching commands do; the last rule wins. A command without a rule exits with 0."""
        with self._lock:
            self._answers.insert(0, (matcher, answer))

    def fail(self, error: EngineError, *, method: str | None = None, at: int = 1, times: int = 1) -> None:
        """Make a later call raise an error.

        Args:
            error: the exception, such as `EngineUnreachable("…")`.
            method: only calls of this method count; None: all.
            at: the first call that fails, 1 is the next one.
            times: how many calls in a row fail.
        """
        with self._lock:
            self._faults.append(_Fault(method, at - 1, error, times))

    def make_folder(self, container: str, path: str) -> None:
        """Create a folder in a volume of the container, and those above it."""
        with self._lock:
            _, volume, below = self._place(self._container(container), path)
            while below:
                volume.folders.add(below)
                below = posixpath.dirname(below)

    def write_file(self, container: str, path: str, content: bytes | str, *, mode: int = 0o644) -> None:
        """Write a file, and the folders above it, into a volume of the container; does not count as a call."""
        self.make_folder(container, posixpath.dirname(path))
        with self._lock:
            _, volume, below = self._place(self._container(container), path)
            volume.others.discard(below)
            volume.files[below] = FakeFile(content.encode() if isinstance(content, str) else content, mode)

    def file(self, container: str, path: str) -> bytes | None:
        """A file of a volume of the container or of its image; does not count as a call."""
        with self._lock:
            found = self._container(container)
            mount = _mount_of(found.spec, path)
            files = self.images[found.spec.image].files if mount is None else self.volume_data[mount.volume].files
            file = files.get(path if mount is None else _below(mount, path))
            return None if file is None else file.content

    def _is_something_else(self, container: str, path: str) -> bool:
        with self._lock:
            found = self._container(container)
            mount = _mount_of(found.spec, path)
            if mount is None:
                return False
            volume = self.volume_data[mount.volume]
            return _below(mount, path) in volume.others | volume.folders

    def _is_readable(self, container: str, path: str) -> bool:
        with self._lock:
            mount = _mount_of(self._container(container).spec, path)
            file = None if mount is None else self.volume_data[mount.volume].files[_below(mount, path)]
            return file is None or bool(file.uid == 1000 and file.mode & 0o400)

    def add_symlink(self, container: str, path: str) -> None:
        """Create something in a volume that is neither a file nor a folder."""
        with self._lock:
            _, volume, below = self._place(self._container(container), path)
            volume.others.add(below)

    # The contract

    def close(self) -> None:
        """Nothing is open."""

    def probe(self) -> None:
        """Answers, unless a fault was defined for this method."""
        with self._lock:
            if any(fault.method == "probe" for fault in self._faults):
                self._called("probe", "")

    def info(self) -> EngineInfo:
        """A fixed version."""
        self._called("info", "")
        return EngineInfo("fake", "1.41")

    def image(self, reference: str) -> ImageState | None:
        """The image, or None."""
        self._called("image", reference)
        found = self.images.get(reference)
        return None if found is None else ImageState(reference, f"sha256:{reference}", dict(found.labels), 0)

    def unused_images(self, label: str) -> list[UnusedImage]:
        """What a test put into `unused`."""
        self._called("unused_images", label)
        return [each for each in self.unused if label in each.labels]

    def remove_image(self, image_id: str) -> bool:
        """Remove it from `unused`; False if there was none."""
        self._called("remove_image", image_id)
        found = [each for each in self.unused if each.image_id == image_id]
        self.unused = [each for each in self.unused if each not in found]
        return bool(found)

    def data_folder(self) -> None:
        """It has no disk."""

    def ensure_network(self, name: str, labels: dict[str, str]) -> str:
        """Create the network unless it exists."""
        self._called("ensure_network", name)
        with self._lock:
            self.networks.setdefault(name, dict(labels))
        return "192.0.2.1"

    def remove_network(self, name: str) -> bool:
        """Remove the network; False if there was none."""
        self._called("remove_network", name)
        with self._lock:
            if any(each.spec.network == name and each.running for each in self.container_data.values()):
                raise EngineError(f"network {name} has active endpoints")
            return self.networks.pop(name, None) is not None

    def ensure_volume(self, name: str, labels: dict[str, str]) -> bool:
        """Create the volume unless it exists; True if this call created it."""
        self._called("ensure_volume", name)
        with self._lock:
            made = name not in self.volume_data
            self.volume_data.setdefault(name, FakeVolume(dict(labels)))
            return made

    def volumes(self, labels: dict[str, str]) -> list[VolumeState]:
        """Volumes that carry all these labels, by name."""
        self._called("volumes", "")
        with self._lock:
            return [
                VolumeState(name, dict(volume.labels), volume.created_at)
                for name, volume in sorted(self.volume_data.items())
                if labels.items() <= volume.labels.items()
            ]

    def remove_volume(self, name: str) -> bool:
        """Remove the volume; False if there was none."""
        self._called("remove_volume", name)
        with self._lock:
            if any(mount.volume == name for each in self.container_data.values() for mount in each.spec.mounts):
                raise EngineError(f"volume {name} is in use")
            return self.volume_data.pop(name, None) is not None

    def start(self, spec: ContainerSpec, *, run: bool = True) -> str:
        """Create and start a container; returns its id."""
        self._called("start", spec.name)
        if not spec.command:
            raise ValueError("a container needs a command")
        with self._lock:
            if spec.image not in self.images:
                raise ImageNotFound(f"No such image: {spec.image}")
            if holder := self.container_data.get(spec.name):
                raise NameTaken(spec.name, holder.spec.labels, running=holder.running)
            if run and spec.network is not None and not self._has_network(spec.network):
                raise EngineError(f"network {spec.network} not found")
            for mount in spec.mounts:
                self.volume_data.setdefault(mount.volume, FakeVolume({}))
            made = FakeContainer(spec, f"{next(self._numbers):064x}", threading.Event(), started=run)
            self.container_data[spec.name] = made
            return made.container_id

    def _has_network(self, network: str) -> bool:
        shared = [each for name, each in self.container_data.items() if network_of(name) == network]
        return network in self.networks or any(each.running for each in shared)

    def containers(self, labels: dict[str, str]) -> list[ContainerState]:
        """Containers, running or not, that carry all these labels, by name."""
        self._called("containers", "")
        with self._lock:
            return [
                ContainerState(name, each.container_id, each.running, dict(each.spec.labels))
                for name, each in sorted(self.container_data.items())
                if labels.items() <= each.spec.labels.items()
            ]

    def execute(
        self,
        container: str,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome:
        """Run the answer that matches the command."""
        started = time.monotonic()
        self._called("execute", container)
        if not spec.command:
            raise ValueError("an exec needs a command")
        with self._lock:
            found = self._container(container)
            answer = self._answer(found.spec, spec)
            self.execs.append((found.spec.name, spec))
        process = FakeExec(self, found, spec, (stdout, stderr), cancel)
        code: int | None = None
        if cancel is not None and cancel.reason is not None:
            return ExecOutcome(EndReason.CANCELLED, None, 0.0)
        try:
            process.check()
            code = (answer(process) if callable(answer) else answer) or 0
            ended = EndReason.EXITED if found.running else EndReason.CONTAINER_GONE
        except BaseException as error:
            # As on a real engine: an exec that ends early ends its container.
            found.ended.set()
            if not isinstance(error, ExecEnded):
                raise
            ended = error.reason
        return ExecOutcome(ended, code if ended is EndReason.EXITED else None, time.monotonic() - started)

    def prepare(self, container: str, spec: ExecSpec) -> "FakePrepared":
        """A command that waits. The spec that it is run with decides what it does."""
        with self._lock:
            if any(fault.method == "prepare" for fault in self._faults):
                self._called("prepare", container)
            found = self._container(container)
            if not found.running:
                raise EngineError(f"Container {container} is not running")
            return FakePrepared(self, found)

    def put_file(self, container: str, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """Write a file into a volume of the container."""
        self._called("put_file", path)
        with self._lock:
            mount, volume, below = self._place(self._container(container), path)
            if mount.read_only:
                raise EngineError(f"{mount.target} is mounted read-only")
            if posixpath.dirname(below) not in volume.folders:
                raise EngineError(f"Could not find the file {posixpath.dirname(path)} in container {container}")
            volume.others.discard(below)
            volume.files[below] = FakeFile(content, mode)

    def put_files(self, container: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Write several files, one after the other."""
        for path, content in files.items():
            self.put_file(container, path, content, mode=mode)

    def read_file(self, container: str, path: str, *, limit: int, strict: bool = False) -> bytes | None:
        """The file's bytes from a volume or the image, or None where there is no regular file."""
        self._called("read_file", path)
        content = self.file(container, path)
        if content is None and strict and self._is_something_else(container, path):
            raise UnreadableFile(f"{path} is not a regular file.")
        if content is not None and strict and not self._is_readable(container, path):
            raise UnreadableFile(f"{path} cannot be read in the container.")
        if content is not None and len(content) > limit:
            raise UnreadableFile(f"The file {path} has {len(content)} bytes; the limit is {limit}.")
        return content

    def kill(self, container: str) -> bool:
        """End the container; False if it did not run."""
        self._called("kill", container)
        return self._end(container)

    def freeze(self, container: str) -> bool:
        """End the container, as an engine does that cannot freeze; False if it did not run."""
        self._called("freeze", container)
        return self._end(container)

    def _end(self, container: str) -> bool:
        with self._lock:
            found = self._find(container)
            was_running = found is not None and found.running
            if found is not None:
                found.ended.set()
            return was_running

    def remove(self, container: str) -> bool:
        """Remove the container in any state; False if there was none."""
        self._called("remove", container)
        with self._lock:
            found = self._find(container)
            if found is None:
                return False
            found.ended.set()
            del self.container_data[found.spec.name]
            return True

    # Private

    def _called(self, method: str, about: str) -> None:
        with self._lock:
            self.calls.append((method, about))
            for fault in list(self._faults):
                if fault.method not in {None, method}:
                    continue
                if fault.calls_left > 0:
                    fault.calls_left -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                raise fault.error

    def _find(self, container: str) -> FakeContainer | None:
        if container in self.container_data:
            return self.container_data[container]
        return next((each for each in self.container_data.values() if each.container_id == container), None)

    def _container(self, container: str) -> FakeContainer:
        found = self._find(container)
        if found is None:
            raise ContainerNotFound(f"No such container: {container}")
        return found

    def _answer(self, container: ContainerSpec, spec: ExecSpec) -> Answer:
        command = " ".join(spec.command)
        for matcher, answer in self._answers:
            if matcher in command if isinstance(matcher, str) else matcher(container, spec):
                return answer
        return 0

    def _place(self, container: FakeContainer, path: str) -> tuple[Mount, FakeVolume, str]:
        mount = _mount_of(container.spec, path)
        if mount is None:
            raise EngineError("container rootfs is marked read-only")
        return mount, self.volume_data[mount.volume], _below(mount, path)


def _mount_of(spec: ContainerSpec, path: str) -> Mount | None:
    """The mount with the longest target above the path."""
    above = [mount for mount in spec.mounts if path == mount.target or path.startswith(mount.target.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount.target), default=None)


def _below(mount: Mount, path: str) -> str:
    below = posixpath.relpath(posixpath.normpath(path), mount.target)
    return "" if below == "." else below
