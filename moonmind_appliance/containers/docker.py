"""The real engine: Docker, through docker-py's low-level client. Engines 20.10 (API 1.41) and newer."""

import base64
import io
import json
import posixpath
import stat
import tarfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from moonmind_appliance.containers import convert
from moonmind_appliance.containers.client import ANSWER_TIMEOUT, CALL_TIMEOUT, Conflict, EngineClient, Missing, get
from moonmind_appliance.containers.engine import ByteSink, CancelToken, PreparedExec
from moonmind_appliance.containers.exec_stream import HijackedConnection, HijackRefused
from moonmind_appliance.containers.execution import ExecGone, ExecState, Execution
from moonmind_appliance.containers.prepared_execution import PreparedExecution
from moonmind_appliance.errors import (
    EngineError,
    EngineUnreachable,
    NameTaken,
    UnreadableFile,
)
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

_LOOK_TIMEOUT = 45.0
"""Seconds for the state of a running exec."""

_NAME_FREED_WITHIN = 5.0
_REMOVED_WITHIN = 20.0

# Bits of Go's os.FileMode that mark anything but a regular file (Engine API, X-Docker-Container-Path-Stat).
_NOT_REGULAR = (1 << 31) | (1 << 27) | (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19)


class DockerEngine:
    """Implements `ContainerEngine` for one Docker engine; one object serves all threads.

    It connects at the first call, and again after the engine restarted.

    Args:
        docker_host: DOCKER_HOST's form: unix://, tcp:// or ssh://; None or empty for the local socket.
        environment: where DOCKER_TLS_VERIFY and DOCKER_CERT_PATH come from.

    Raises:
        EngineUnreachable: `docker_host` has none of these forms.
    """

    def __init__(self, docker_host: str | None = None, *, environment: Mapping[str, str] | None = None) -> None:
        self._client = EngineClient(docker_host, environment)
        self._making = threading.Lock()
        self._data_folder: Path | None = None

    def close(self) -> None:
        """Close the idle connections. Idempotent; the next call connects again."""
        self._client.close()

    # What the engine is and has

    def probe(self) -> None:
        """Contact the engine if the last call to it failed, or there was none."""
        self._client.ask(lambda _: None)

    def info(self) -> EngineInfo:
        """The engine's version and API version."""
        version = self._client.ask(lambda client: get(client, "/version", timeout=ANSWER_TIMEOUT).json())
        return EngineInfo(version=version["Version"], api_version=version["ApiVersion"])

    def image(self, reference: str) -> ImageState | None:
        """The image, or None if the engine does not have it. Nothing is pulled."""
        found: dict[str, Any] | None = self._client.ask_for(lambda client: client.inspect_image(reference))  # type: ignore[no-untyped-call] # its stub has no types
        if found is None:
            return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        return ImageState(reference, found["Id"], labels, found["Size"])

    def unused_images(self, label: str) -> list[UnusedImage]:
        """Images with that label that nothing names or uses, oldest first. See `ContainerEngine.unused_images`."""
        filters = {"label": [label], "dangling": ["true"]}
        untagged = self._client.ask(lambda client: client.images(filters=filters))
        if not untagged:
            return []
        everything = self._client.ask(lambda client: client.images(all=True))
        used = {each["ImageID"] for each in self._client.ask(lambda client: client.containers(all=True))}
        return convert.unused_images([each for each in untagged if each["Id"] not in used], everything)

    def remove_image(self, image_id: str) -> bool:
        """Remove the image, and the untagged layers that only it uses; False if there was none."""
        return self._client.did(lambda client: client.remove_image(image_id))

    def data_folder(self) -> Path | None:
        """The engine's own folder, if the engine runs on this machine and this process sees it."""
        if self._client.address.scheme != "unix":
            return None
        if self._data_folder is None:
            found = self._client.ask(lambda client: get(client, "/info", timeout=_LOOK_TIMEOUT).json())
            self._data_folder = Path(found.get("DockerRootDir") or "/nowhere")
        return self._data_folder if self._data_folder.is_dir() else None

    # Networks and volumes

    def ensure_network(self, name: str, labels: dict[str, str]) -> str:
        """Create the bridge network unless it exists; returns its IPv4 gateway ("" if it has none)."""
        with self._making:
            found = self._client.ask_for(lambda client: client.inspect_network(name))
            if found is None:
                with suppress(Conflict):  # another process created it in the same moment
                    self._client.ask(
                        lambda client: client.create_network(name, driver="bridge", labels=labels, check_duplicate=True)
                    )
                found = self._client.ask(lambda client: client.inspect_network(name))
        gateways = [config.get("Gateway") or "" for config in (found.get("IPAM") or {}).get("Config") or []]
        return next((gateway.partition("/")[0] for gateway in gateways if "." in gateway), "")

    def remove_network(self, name: str) -> bool:
        """Remove the network; False if there was none."""
        return self._client.did(lambda client: client.remove_network(name))

    def ensure_volume(self, name: str, labels: dict[str, str]) -> bool:
        """Create the volume unless it exists; True if this call created it."""
        with self._making:
            if self.has_volume(name):
                return False
            self._client.ask(lambda client: client.create_volume(name, labels=labels))
            return True

    def has_volume(self, name: str) -> bool:
        """Whether there is a volume of that name."""
        return self.mountpoint(name) is not None

    def mountpoint(self, volume: str) -> str | None:
        """The volume's folder on the engine's machine; None if there is no such volume."""
        found = self._client.ask_for(lambda client: client.inspect_volume(volume))
        return None if found is None else str(found["Mountpoint"])

    def users_of_mount(self, source: str) -> list[str]:
        """The names of containers, running or not, that mount that volume or path."""
        answer = self._client.ask(lambda client: client.containers(all=True, filters={"volume": source}))
        return sorted(each["Names"][0].lstrip("/") for each in answer if each.get("Names"))

    def volumes(self, labels: dict[str, str]) -> list[VolumeState]:
        """Volumes that carry all these labels, by name."""
        answer = self._client.ask(lambda client: client.volumes(filters=_label_filter(labels)))
        return sorted(map(convert.volume_state, answer["Volumes"] or []), key=lambda volume: volume.name)

    def remove_volume(self, name: str) -> bool:
        """Remove the volume; False if there was none. Raises EngineError while a container uses it."""
        return self._client.did(lambda client: client.remove_volume(name))

    # Containers

    def start(self, spec: ContainerSpec, *, run: bool = True) -> str:
        """Create and start a container; returns its id. See `ContainerEngine.start`."""
        body = convert.container_body(spec)
        container = self._create(spec.name, body)
        if run:
            try:
                self._client.ask(lambda client: client.start(container))
            except EngineError:
                with suppress(EngineError):
                    self.remove(container)
                raise
        return container

    def _create(self, name: str, body: dict[str, Any]) -> str:
        give_up = time.monotonic() + _NAME_FREED_WITHIN
        while True:
            try:
                made = self._client.ask(lambda client: client.create_container_from_config(body, name=name))  # type: ignore[no-untyped-call] # its stub has no types
                return str(made["Id"])
            except Conflict as conflict:
                holder = self._client.ask_for(lambda client: client.inspect_container(name))
                late = time.monotonic() >= give_up
                if holder is None:
                    if late:
                        raise NameTaken(name, {}, running=False) from conflict
                elif late or not self._is_going(holder):
                    labels = (holder.get("Config") or {}).get("Labels") or {}
                    raise NameTaken(name, labels, running=bool(holder["State"]["Running"])) from conflict
                time.sleep(0.05)

    def _is_going(self, holder: dict[str, Any]) -> bool:
        """Whether its removal is in progress; one that failed is started again."""
        if holder["State"].get("Dead"):
            with suppress(EngineError):
                self.remove(holder["Id"])
            return True
        return bool(holder["State"].get("Status") == "removing")

    def containers(self, labels: dict[str, str]) -> list[ContainerState]:
        """Containers, running or not, that carry all these labels, by name."""
        answer = self._client.ask(lambda client: client.containers(all=True, filters=_label_filter(labels)))
        found = [
            ContainerState(
                name=each["Names"][0].lstrip("/") if each.get("Names") else each["Id"],
                container_id=each["Id"],
                running=each["State"] in {"running", "paused", "restarting"},
                labels=each["Labels"] or {},
            )
            for each in answer
        ]
        return sorted(found, key=lambda container: container.name)

    def kill(self, container: str) -> bool:
        """Kill all processes and wait until they have ended; False if the container did not run."""
        try:
            if not self._client.did(lambda client: client.kill(container)):
                return False
        except Conflict:
            return False
        # Engines after 20.10 do not wait after the signal.
        self._client.did(lambda client: client.wait(container, timeout=CALL_TIMEOUT, condition="not-running"))
        return True

    def freeze(self, container: str) -> bool:
        """Stop all processes where they are; False if the container did not run. See `ContainerEngine.freeze`."""
        try:
            return self._client.did(lambda client: client.pause(container))
        except Conflict:
            # It does not run, or is frozen already.
            return False
        except EngineUnreachable:
            raise
        except EngineError:
            # Without the kernel's freezer, as on some engines without root.
            return self.kill(container)

    def remove(self, container: str) -> bool:
        """Remove the container in any state, and its anonymous volumes; False if there was none."""
        try:
            return self._client.did(lambda client: client.remove_container(container, v=True, force=True))
        except Conflict:
            self._wait_until_removed(container)
            return True

    def _wait_until_removed(self, container: str) -> None:
        """Wait for a removal that another caller started, so that the name is free."""
        give_up = time.monotonic() + _REMOVED_WITHIN
        while self._client.ask_for(lambda client: client.inspect_container(container)) is not None:
            if time.monotonic() >= give_up:
                raise EngineError(
                    f"The container {container} is being removed, but the removal does not finish.",
                    hint="Restart the Docker engine.",
                )
            time.sleep(0.05)

    # Files

    def put_file(self, container: str, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """Write a file, owned by user 1000, into a mounted volume of the container. See `ContainerEngine.put_file`."""
        self.put_files(container, {path: content}, mode=mode)

    def put_files(self, container: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Write several files with one call to the engine per folder. See `ContainerEngine.put_files`."""
        for folder in dict.fromkeys(posixpath.dirname(path) for path in files):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for path, content in files.items():
                    if posixpath.dirname(path) != folder:
                        continue
                    member = tarfile.TarInfo(posixpath.basename(path))
                    member.size, member.mode, member.mtime = len(content), mode, int(time.time())
                    member.uid, member.gid = convert.JOB_UID, convert.JOB_GID
                    archive.addfile(member, io.BytesIO(content))
            self._put_archive(container, folder, packed.getvalue())

    def _put_archive(self, container: str, folder: str, archive: bytes) -> None:
        self._client.ask(lambda client: client.put_archive(container, folder, archive))

    def read_file(self, container: str, path: str, *, limit: int, strict: bool = False) -> bytes | None:
        """The file's bytes, or None where there is no regular file. See `ContainerEngine.read_file`."""
        url = f"/containers/{quote(container, safe='')}/archive"
        try:
            with self._client.ask(lambda client: get(client, url, path=path)) as response:
                found = json.loads(base64.b64decode(response.headers["X-Docker-Container-Path-Stat"]))
                if found["mode"] & _NOT_REGULAR:
                    if strict:
                        raise UnreadableFile(f"{path} is not a regular file.")
                    return None
                if found["size"] > limit:
                    raise UnreadableFile(f"The file {path} has {found['size']} bytes; the limit is {limit}.")
                return _unpack(response, limit, path if strict else None)
        except Missing:
            return None
        except requests.RequestException as error:
            raise self._client.unreachable(error) from error

    # Execs

    def execute(
        self,
        container: str,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome:
        """Run a command and wait for its end. See `ContainerEngine.execute`."""
        return Execution(self, container, spec, stdout=stdout, stderr=stderr, cancel=cancel).run()

    def prepare(self, container: str, spec: ExecSpec) -> PreparedExec:
        """Start a command that waits for a line on its stdin. See `ContainerEngine.prepare`."""
        return PreparedExecution(self, container, spec)

    def create_exec(self, container: str, spec: ExecSpec, *, reads_stdin: bool = False) -> str:
        """Part of `ExecCalls`."""
        arguments = convert.exec_arguments(spec, reads_stdin=reads_stdin)
        try:
            return str(self._client.ask(lambda client: client.exec_create(container, **arguments))["Id"])
        except Conflict as conflict:
            if self.is_running(container):
                raise
            raise ExecGone(conflict.message) from conflict

    def attach_exec(self, exec_id: str) -> HijackedConnection:
        """Part of `ExecCalls`."""
        path = f"/v{self._client.api_version}/exec/{exec_id}/start"
        try:
            connection = HijackedConnection(self._client.address.connect(CALL_TIMEOUT))
            try:
                connection.post(path, b'{"Detach":false,"Tty":false}')
            except BaseException:
                connection.close()
                raise
        except HijackRefused as refused:
            # Engines of 20.10 answer 500 where the container ended a moment ago.
            if refused.status in {404, 409} or "is not running" in refused.message:
                raise ExecGone(refused.message) from refused
            raise
        except OSError as error:
            raise self._client.unreachable(error) from error
        return connection

    def exec_state(self, exec_id: str) -> ExecState | None:
        """Part of `ExecCalls`."""
        path = f"/exec/{exec_id}/json"
        found = self._client.ask_for(lambda client: get(client, path, timeout=_LOOK_TIMEOUT).json())
        return None if found is None else ExecState(bool(found["Running"]), found["ExitCode"])

    def is_running(self, container: str) -> bool:
        """Part of `ExecCalls`."""
        found = self._client.ask_for(lambda client: client.inspect_container(container))
        return found is not None and bool(found["State"]["Running"])


def _label_filter(labels: dict[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{name}={value}" for name, value in sorted(labels.items())]}


def _unpack(response: requests.Response, limit: int, strict: str | None) -> bytes | None:
    """The content of the one file in the tar stream; `strict`: its path, if the container must be able to read it."""
    with tarfile.open(fileobj=response.raw, mode="r|") as archive:
        member = archive.next()
        if member is None or not member.isreg():
            return None
        if strict is not None and (member.uid != convert.JOB_UID or not member.mode & stat.S_IRUSR):
            raise UnreadableFile(
                f"{strict} cannot be read in the container: its owner is user {member.uid}, its mode {member.mode:04o}."
            )
        content = archive.extractfile(member)
        return None if content is None else content.read(limit + 1)
