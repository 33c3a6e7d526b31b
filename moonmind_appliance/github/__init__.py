"""The adapter to GitHub's REST API. It makes no decisions."""

from moonmind_appliance.github.app import GitHubApp
from moonmind_appliance.github.app_answers import Installation
from moonmind_appliance.github.connection import Connection
from moonmind_appliance.github.known_tokens import KnownTokens
from moonmind_appliance.github.rest import BEYOND, GitHub, PullRequest, Repository, TreeEntry

__all__ = [
    "BEYOND",
    "Connection",
    "GitHub",
    "GitHubApp",
    "Installation",
    "KnownTokens",
    "PullRequest",
    "Repository",
    "TreeEntry",
]
