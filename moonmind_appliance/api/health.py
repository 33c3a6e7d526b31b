"""Liveness and readiness, for probes, which send no token."""

from typing import Any

from litestar import Response, Router, get

from moonmind_appliance.api.problems import ProblemField, answer, problem, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.schemas import Health, Ready, ReadyCheck
from moonmind_appliance.checks import Finding, Level

_RETRY_SECONDS = 15
_NO_STORE = {"Cache-Control": "no-store"}


@get(
    "/health",
    sync_to_thread=False,
    operation_id="get_health",
    summary="Alive",
    response_description="The process responds.",
    responses=problems(),
)
def get_health(request: ApiRequest) -> Response[Health]:
    """Report that the process is running. Uses neither the database nor Docker. Needs no token."""
    return Response(Health("ok", request.parts.version), headers=_NO_STORE)


@get(
    "/ready",
    sync_to_thread=True,
    operation_id="get_ready",
    summary="Ready to accept and run work",
    response_description="The appliance accepts and runs work.",
    responses=problems("not_ready"),
)
def get_ready(request: ApiRequest) -> Response[Any]:
    """Report whether the appliance accepts and executes runs; `errors` lists failed checks. Needs no token."""
    checks = [_ready_check(name, finding) for name, finding in request.parts.readiness().items()]
    if request.parts.resources.stopping.is_set():
        checks.append(ReadyCheck("stopping", ok=False, message="The appliance is stopping."))
    wrong = [ProblemField(check.name, check.message) for check in checks if not check.ok]
    if wrong:
        body = problem("not_ready", "The appliance cannot accept and run work now. `errors` gives the reasons.", wrong)
        return answer(body, {"Retry-After": str(_RETRY_SECONDS)})
    return Response(Ready("ready", checks), headers=_NO_STORE)


def _ready_check(name: str, finding: Finding) -> ReadyCheck:
    # Callers without a token read this: a passed check shows no details.
    good = finding.level is not Level.WRONG
    return ReadyCheck(name, good, "" if good else f"{finding.observed} {finding.to_do}".strip())


health_router = Router("/", route_handlers=[get_health, get_ready], tags=["health"], security=[{}])
