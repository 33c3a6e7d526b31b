"""The door to GitHub: its REST API, as plain values in and out. No opinion lives here."""

from moonmind_appliance.github.rest import GitHub, PullRequest, Repository

__all__ = ["GitHub", "PullRequest", "Repository"]
