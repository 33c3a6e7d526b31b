"""Reads a specification from a file of this machine."""

import os
import stat
from pathlib import Path

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.runs.specification_file import decode_specification
from moonmind_appliance.runs.submit import MAX_SPECIFY_BYTES


def read_specification(path: Path) -> str:
    """The text of the file, without a byte order mark.

    Raises:
        InvalidRequest: it is not a readable text file, or exceeds the limit of a specification.
    """
    try:
        # A named pipe must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidRequest(f"{path} is not a file.", hint="Give the path of a text file.")
            content = file.read(MAX_SPECIFY_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InvalidRequest(f"{path} cannot be read: {reason}.", hint="Give another path.") from None
    if len(content) > MAX_SPECIFY_BYTES:
        raise InvalidRequest(
            f"{path} is larger than {MAX_SPECIFY_BYTES} bytes.", hint="Shorten it, or split it into several runs."
        )
    return decode_specification(content, str(path))
