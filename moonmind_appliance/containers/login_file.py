"""Read a login file, which an agent may have replaced or damaged."""

import logging

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import UnreadableFile

_log = logging.getLogger(__name__)

# Represents a login file that cannot be read: no adapter accepts it as a login.
UNREADABLE_LOGIN = b""


def read_login_file(engine: ContainerEngine, container: str, path: str, *, limit: int) -> bytes | None:
    """The file's bytes; None if there is no file.

    A file of more than `limit` bytes, one that the container cannot read, or anything else than a regular file, is
    `UNREADABLE_LOGIN`: a login that cannot be used, not an error of the engine, which would fail the run.

    Raises:
        EngineError: the engine failed.
    """
    try:
        return engine.read_file(container, path, limit=limit, strict=True)
    except UnreadableFile as error:
        _log.warning("The login file in the container %s cannot be used: %s", container, error)
        return UNREADABLE_LOGIN
