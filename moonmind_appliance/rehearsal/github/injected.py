"""What Litestar passes to the handlers of the REST API, and the path that most of them share."""

from typing import Any

from litestar import Request
from litestar.di import NamedDependency

from moonmind_appliance.rehearsal.github.apps import RegisteredApp
from moonmind_appliance.rehearsal.github.shapes import Shapes
from moonmind_appliance.rehearsal.github.state import Access, GitHubState, HostedPullRequest, HostedRepository

REPOSITORY = "/repos/{owner:str}/{name:str}"

AnyRequest = Request[Any, Any, Any]
InjectedState = NamedDependency[GitHubState]
InjectedShapes = NamedDependency[Shapes]
CallingApp = NamedDependency[RegisteredApp]
CallerAccess = NamedDependency[Access | None]
RequestedRepository = NamedDependency[HostedRepository]
RequestedPull = NamedDependency[HostedPullRequest]


def operation_of(request: AnyRequest) -> str:
    """The operation's page in GitHub's docs, which the handler names; its errors link to it."""
    return str(request.route_handler.opt.get("operation", ""))


def needs_of(request: AnyRequest) -> tuple[str, ...]:
    """The permissions, each `name:level`, one of which the operation needs; the handler names them."""
    return tuple(request.route_handler.opt.get("needs", ()))
