"""A stand-in for GitHub: real Git over HTTP, and a REST API as strict as GitHub's own."""

from moonmind_appliance.rehearsal.github.apps import IssuedToken
from moonmind_appliance.rehearsal.github.bare_repository import GitFailed
from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.gateway import LoggedRequest
from moonmind_appliance.rehearsal.github.server import PullRequestSummary, StandInGitHub

__all__ = ["Fault", "GitFailed", "IssuedToken", "LoggedRequest", "PullRequestSummary", "StandInGitHub"]
