"""Decodes a specification from a file, for every command and form that reads one."""

import codecs

from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.text_encoding import other_form


def decode_specification(content: bytes, name: str) -> str:
    """The text, unchanged but for a byte order mark of UTF-8 at its start, which some editors write.

    Raises:
        InvalidRequest: it is not text in UTF-8. The message starts with `name`, such as "The specification a.md".
    """
    if form := other_form(content):
        raise InvalidRequest(f"{name} is {form}.", hint="Save it as text in UTF-8.")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        at = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
        raise InvalidRequest(f"{name} is not valid UTF-8 (at byte {at}).", hint="Save it as text in UTF-8.") from None
