"""The agent that AGENT_BACKEND names."""

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.workflow import BACKEND_PREFIX, SpecKitWorkflow
from moonmind_appliance.settings import Settings


def agent_of(settings: Settings) -> AgentAdapter:
    """The adapter, configured."""
    extra_ca = settings.extra_ca_certs is not None
    if settings.agent_backend.startswith(BACKEND_PREFIX):
        return SpecKitWorkflow(
            settings.agent_backend.removeprefix(BACKEND_PREFIX),
            https_proxy=settings.agent_https_proxy,
            no_proxy=settings.agent_no_proxy,
            extra_ca=extra_ca,
        )
    return Codex(
        model=settings.codex_model,
        https_proxy=settings.agent_https_proxy,
        no_proxy=settings.agent_no_proxy,
        extra_ca=extra_ca,
    )
