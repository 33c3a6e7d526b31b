"""The adapter to GitHub's REST API. It makes no decisions."""

from moonmind_appliance.github.app import GitHubApp, Installation
from moonmind_appliance.github.rest import BEYOND, GitHub, PullRequest, Repository, TreeEntry

__all__ = ["BEYOND", "GitHub", "GitHubApp", "Installation", "PullRequest", "Repository", "TreeEntry"]
