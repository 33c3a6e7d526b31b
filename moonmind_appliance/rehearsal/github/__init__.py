"""A stand-in for GitHub: real Git over HTTP, and a REST API as strict as GitHub's own."""

from moonmind_appliance.rehearsal.github.bare_repository import GitFailed
from moonmind_appliance.rehearsal.github.faults import Scenario
from moonmind_appliance.rehearsal.github.gateway import SeenRequest
from moonmind_appliance.rehearsal.github.server import HostedPull, StandInGitHub

__all__ = ["GitFailed", "HostedPull", "Scenario", "SeenRequest", "StandInGitHub"]
