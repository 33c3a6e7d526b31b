"""Reads the specification that the option --spec names."""

from pathlib import Path

import click

from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.runs.specification_file import decode_specification

# The API checks the size; this limit only avoids reading a huge file into memory.
_MOST_BYTES = 2 * 1024**2


def read_specification(spec: Path) -> str:
    """The file's text, unchanged except that a byte order mark is removed. `-` is stdin.

    Raises:
        CommandFailed: it cannot be read, or is much too large.
        InvalidRequest: it is not text in UTF-8.
    """
    try:
        with click.open_file(str(spec), "rb") as stream:
            content: bytes = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CommandFailed(
            f"The specification {spec} cannot be read ({error.strerror}).", hint="Check the file.", code=Exit.USAGE
        ) from None
    if len(content) > _MOST_BYTES:
        raise CommandFailed(
            f"The specification {spec} is larger than 256 KiB.", hint="Shorten it, or split it.", code=Exit.USAGE
        )
    return decode_specification(content, f"The specification {spec}")
