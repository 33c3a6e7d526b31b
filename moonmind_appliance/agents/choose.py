"""The agent that AGENT_BACKEND names."""

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.agents.workflow import BACKEND_PREFIX, SpecKitWorkflow
from moonmind_appliance.settings import Settings


def agent_of(settings: Settings) -> AgentAdapter:
    """Create the adapter."""
    egress = Egress.of(settings)
    if settings.agent_backend.startswith(BACKEND_PREFIX):
        return SpecKitWorkflow(settings.agent_backend.removeprefix(BACKEND_PREFIX), egress=egress)
    return Codex(model=settings.codex_model, egress=egress, web_search=settings.agent_web_search)
