"""The rule for repository names, for every interface: REST API, command line, TUI, settings."""

import re

# GitHub's rule for account names; only enterprise-managed users have an underscore: handle_shortcode
# (docs.github.com, "Username considerations for external authentication").
OWNER_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9_]|-(?=[A-Za-z0-9])){0,38}"
NAME_PATTERN = r"(?!\.{1,2}$)(?!.*\.git$)[A-Za-z0-9._-]{1,100}"
REPOSITORY_RULE = (
    "owner/name without .git. Owner: letters, digits, underscores and single dashes, at most 39. "
    "Name: letters, digits, dots, dashes and underscores, at most 100."
)

_REPOSITORY = re.compile(rf"{OWNER_PATTERN}/{NAME_PATTERN}")


def is_repository(slug: str) -> bool:
    """Whether GitHub can have a repository of this name: owner/name, in any case."""
    return _REPOSITORY.fullmatch(slug) is not None
