"""The time in a `Retry-After` header (RFC 9110, section 10.2.3)."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_time(header: str | None, now: datetime) -> datetime | None:
    """When to try again (UTC): `now` and the header's seconds, or its date; None for anything else."""
    if header is None:
        return None
    with suppress(ValueError, OverflowError):
        if header.strip().isdecimal():
            return now + timedelta(seconds=int(header))
        date = parsedate_to_datetime(header)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None
