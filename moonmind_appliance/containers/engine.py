"""The interface of a container engine.

Order of calls: `ensure_network`, `ensure_volume`, `start`, any number of `execute`, `kill` or `freeze`,
`remove`, `remove_volume`.
Safe to call twice: `ensure_network`, `ensure_volume`, `kill`, `freeze`, `remove`, `remove_volume`. `start` is not: only
one container can have a name, so a name is a lock. Everything may be called in parallel, also `execute` on one
container.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from moonmind_appliance.errors import InterruptReason, RunInterrupted
from moonmind_appliance.models import (
    ContainerSpec,
    ContainerState,
    EngineInfo,
    ExecOutcome,
    ExecSpec,
    ImageState,
    UnusedImage,
    VolumeState,
)


class CancelToken:
    """Asks work in another thread to end. The first reason counts."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason: InterruptReason | None = None

    def cancel(self, reason: InterruptReason) -> None:
        """Ask the work to end. Idempotent."""
        with self._lock:
            self._reason = self._reason or reason
        self._event.set()

    @property
    def reason(self) -> InterruptReason | None:
        """Why the work must end; None while it may continue."""
        return self._reason

    def wait(self, seconds: float) -> bool:
        """Sleep up to that long; True as soon as the work must end."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise `RunInterrupted` if the work must end."""
        if self._reason is not None:
            raise RunInterrupted(self._reason)


class ByteSink(Protocol):
    """Takes output as it arrives, in chunks of any size."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""


class PreparedExec(Protocol):
    """A command that runs and waits for a line on its stdin."""

    def run(
        self,
        line: bytes,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome | None:
        """Send the line, and wait for the end as `ContainerEngine.execute` does. Call it at most once.

        Args:
            line: what the command reads, with a newline at its end.
            spec: the command that it now executes. Its time limits start now.
            stdout: as for `execute`.
            stderr: as for `execute`.
            cancel: as for `execute`.

        Returns None if the command ended, printed something or lost its connection before it had the line. Then it did
        nothing, and the caller executes the command anew.
        """

    def close(self) -> None:
        """End the command by closing its stdin. Idempotent; does nothing after `run`."""


class ContainerEngine(Protocol):
    """Any method may raise `EngineUnreachable`, or `EngineError` with the engine's own message."""

    def close(self) -> None:
        """Close the idle connections. Idempotent; the next call connects again."""

    def probe(self) -> None:
        """Raise EngineUnreachable if the engine does not answer. Costs nothing if it answered the last call."""

    def info(self) -> EngineInfo:
        """The engine's version and API version."""

    def image(self, reference: str) -> ImageState | None:
        """The image, or None if the engine does not have it. Nothing is pulled."""

    def unused_images(self, label: str) -> list[UnusedImage]:
        """Images with that label, of any value, that no tag names, no container uses and no other image is made from.

        A build that is in progress may use such an image, so remove only older ones.
        """

    def remove_image(self, image_id: str) -> bool:
        """Remove the image, and the untagged layers that only it uses; False if there was none.

        Raises:
            EngineError: also if a container uses it.
        """

    def data_folder(self) -> Path | None:
        """A folder of this machine on the disk that has the engine's volumes; None if there is none to be seen."""

    def ensure_network(self, name: str, labels: dict[str, str]) -> str:
        """Create the bridge network unless it exists; returns its gateway address ("" if it has none)."""

    def remove_network(self, name: str) -> bool:
        """Remove the network; False if there was none."""

    def ensure_volume(self, name: str, labels: dict[str, str]) -> bool:
        """Create the volume unless it exists; True if this call created it."""

    def volumes(self, labels: dict[str, str]) -> list[VolumeState]:
        """Volumes that carry all these labels."""

    def remove_volume(self, name: str) -> bool:
        """Remove the volume; False if there was none. Raises EngineError while a container uses it."""

    def start(self, spec: ContainerSpec, *, run: bool = True) -> str:
        """Create and start a container; returns its id. With `run=False` it is only created: its volumes can be read.

        Raises:
            NameTaken: another container has the name; the error has its labels. Nothing was created.
            ImageNotFound: nothing was created.
        """

    def containers(self, labels: dict[str, str]) -> list[ContainerState]:
        """Containers, running or not, that carry all these labels."""

    def execute(
        self,
        container: str,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome:
        """Run a command with an empty, closed stdin and wait for its end; output streams into the sinks meanwhile.

        A time limit, silence limit or cancel ends the command by killing its container: nothing that it started is
        left, and the container's volumes can still be read. A cancel is noticed within a tenth of a second; one from
        before the start starts nothing, and the container continues. Where the container must survive, the command
        needs a limit of its own, such as `timeout`.

        A child that the command left in the background is not waited for. All output has been passed on when it
        returns. A container that does not run, or ends meanwhile, or an engine that goes away is `CONTAINER_GONE`. A
        command that cannot be started ends with 126 or 127, and the reason in its output.

        Raises:
            ContainerNotFound: there is no such container.
            Exception: what a sink raised, after the container was killed.
        """

    def prepare(self, container: str, spec: ExecSpec) -> PreparedExec:
        """Start a command that waits for a line on its stdin; the command must end if stdin ends before.

        It has the spec's command, folder and variables. Time limits start with `PreparedExec.run`.

        Raises:
            ContainerNotFound: there is no such container.
            EngineError: also if the container does not run.
        """

    def put_files(self, container: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Write several files with one call to the engine per folder. See `put_file`."""

    def put_file(self, container: str, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """Write a file, owned by user 1000, into a writable volume (no tmpfs) of the container, running or not.

        Its folder must exist. Anything at the path, including a symlink, is replaced.
        """

    def read_file(self, container: str, path: str, *, limit: int, strict: bool = False) -> bytes | None:
        """The file's bytes, or None where there is no regular file.

        Raises:
            UnreadableFile: it has more than `limit` bytes; with `strict` also where the path is something else than a
                regular file, or one that user 1000 cannot read.

        Reads from volumes and from the image, not from a tmpfs. Also reads from a container that was created with
        `run=False`, or has ended. The last part of the path is not followed where it is a symlink; those before it are.
        """

    def kill(self, container: str) -> bool:
        """Kill all processes and wait until they have ended; False if the container did not run."""

    def freeze(self, container: str) -> bool:
        """Stop all processes where they are; False if the container did not run.

        Takes a third of the time of `kill`, because the container's network remains. `kill` and `remove` end a frozen
        container, and may let its processes run for a moment before. An engine that cannot freeze kills.
        """

    def remove(self, container: str) -> bool:
        """Remove the container in any state, and its anonymous volumes; False if there was none."""
