"""Which runs a list shows, and in which order."""

from enum import StrEnum

import msgspec

from moonmind_appliance.models.run import RunStatus


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a list shows; the defaults show every run.

    `created_by` is the submitter's subject. `statuses` are any of these; empty means all. `repository` is "owner/name"
    in any case, as GitHub compares it. `external_ref` is exact. `text` is a part of the repository, the external
    reference, the run id, the user name or the status, in any case.
    """

    created_by: str | None = None
    statuses: frozenset[RunStatus] = frozenset()
    repository: str | None = None
    external_ref: str | None = None
    text: str = ""


class RunOrder(StrEnum):
    """How a list is sorted. Ties are sorted newest first.

    `active`: runs in progress, then queued runs, then all others. `duration`: longest first, runs that never started
    last.
    """

    NEWEST = "newest"
    ACTIVE = "active"
    OLDEST = "oldest"
    REPOSITORY = "repository"
    STATUS = "status"
    DURATION = "duration"
