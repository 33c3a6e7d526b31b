"""Read a login file, whatever an agent made of it."""

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import UnreadableFile

# Stands for a login file that cannot be read: no adapter takes it for a login.
UNREADABLE_LOGIN = b""


def read_login_file(engine: ContainerEngine, container: str, path: str, *, limit: int) -> bytes | None:
    """The file's bytes; None where nothing has its name.

    A file of more than `limit` bytes, and whatever is no regular file, is `UNREADABLE_LOGIN`: it is a login that
    cannot be used, not a failure of the engine, which would fail the run.

    Raises:
        EngineError: the engine failed.
    """
    try:
        return engine.read_file(container, path, limit=limit, strict=True)
    except UnreadableFile:
        return UNREADABLE_LOGIN
