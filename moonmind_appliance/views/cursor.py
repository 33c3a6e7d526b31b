"""The cursor of a page of a list. Opaque to callers; new runs do not move it."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec

from moonmind_appliance.errors import FieldProblem, InvalidRequest
from moonmind_appliance.untrusted_json import decode

_Place = tuple[Annotated[datetime, msgspec.Meta(tz=True)], UUID]


def cursor_after(accepted_at: datetime, run_id: str) -> str:
    """The cursor of the page that begins after that run."""
    return base64.urlsafe_b64encode(msgspec.json.encode((accepted_at, run_id))).rstrip(b"=").decode()


def place_of(cursor: str) -> tuple[datetime, str]:
    """Acceptance time and id of the run before the page.

    Raises:
        InvalidRequest: the cursor is not from this list.
    """
    try:
        coded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        accepted_at, run_id = decode(coded, _Place)
        return accepted_at.astimezone(UTC), str(run_id)
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        problem = FieldProblem("cursor", "Not a valid cursor: send `next_cursor` of a page unchanged.")
        raise InvalidRequest("The cursor is not valid.", fields=[problem]) from None
