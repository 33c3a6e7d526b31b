"""Simulates Codex's device login and the user's decision in the browser, on the fake engine."""

import threading
from dataclasses import dataclass, field

from moonmind_appliance.models import ContainerSpec, ExecSpec
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile
from tests.in_container.sent import program_of

OLD, NEW = b"rt_secretOfShard0-0123456789", b"rt_newLogin-0123456789"
ADDRESS, CODE = "https://auth.openai.com/codex/device", "J7WH-F5B4Q"


@dataclass
class SimulatedSignIn:
    """`asked` is set when Codex has shown the code; set `decided` to continue. With `refuses` the login fails."""

    engine: FakeEngine
    asked: threading.Event = field(default_factory=threading.Event)
    decided: threading.Event = field(default_factory=threading.Event)
    refuses: bool = False

    def __post_init__(self) -> None:
        self.engine.on_exec(_is_login, self._codex_login)
        self.engine.on_exec(_is_move, _move)

    def _codex_login(self, process: FakeExec) -> int:
        process.stdout.write(f"Open this link:\n\n   {ADDRESS}\n\nand enter the code\n\n   {CODE}\n\n".encode())
        self.asked.set()
        while not self.decided.is_set():
            process.sleep(0.01)
        if self.refuses:
            process.stderr.write(b"Error logging in with device code: denied\n")
            return 1
        process.write_file(f"{LOGIN_FOLDER}/auth.json", NEW)
        return 0


def _is_login(_: ContainerSpec, spec: ExecSpec) -> bool:
    return spec.command == ["login"]


def _is_move(_: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec) == "store_login"


def _move(process: FakeExec) -> int:
    """Move the new login to its final name."""
    (mount,) = process.container.spec.mounts
    files = process.engine.volume_data[mount.volume].files
    (new,) = [name for name in files if name.startswith(".new-")]
    files["auth.json"] = files.pop(new)
    return 0


def put_login(engine: FakeEngine, volume: str) -> None:
    """Store the old login in the volume."""
    engine.ensure_volume(volume, {})
    engine.volume_data[volume].files["auth.json"] = FakeFile(OLD)


def stored_login(engine: FakeEngine, volume: str) -> bytes:
    return bytes(engine.volume_data[volume].files["auth.json"].content)
