"""What GitHub's API says about an App: itself, its installations, and their tokens.

docs.github.com/rest/apps/apps and docs.github.com/rest/apps/installations.
"""

from datetime import datetime

import msgspec

NEEDED = {"contents": "write", "pull_requests": "write"}
"""The permissions of every token. GitHub adds `metadata: read`."""

_LEVELS = ("read", "write", "admin")


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an App is installed, and what it may do there. `repository_selection` is `all` or `selected`."""

    id: int
    permissions: dict[str, str]
    repository_selection: str
    html_url: str = ""
    suspended_at: str | None = None

    def missing(self) -> dict[str, str]:
        """The needed permissions that it does not have."""
        return {name: level for name, level in NEEDED.items() if not _covers(self.permissions.get(name), level)}

    def beyond(self) -> dict[str, str]:
        """The permissions that it has and that runs do not need."""
        needed = NEEDED | {"metadata": "read"}
        return {
            name: level
            for name, level in sorted(self.permissions.items())
            if name not in needed or not _covers(needed[name], level)
        }


class RegisteredApp(msgspec.Struct, frozen=True, kw_only=True):
    """The App itself, as GitHub knows it."""

    id: int
    name: str
    slug: str = ""
    html_url: str = ""
    installations_count: int | None = None


class IssuedToken(msgspec.Struct):
    """A new installation token."""

    token: str
    expires_at: datetime
    permissions: dict[str, str] = {}


def _covers(given: str | None, needed: str) -> bool:
    """Whether one level of a permission includes another."""
    return given in _LEVELS and _LEVELS.index(given) >= (_LEVELS.index(needed) if needed in _LEVELS else 0)
