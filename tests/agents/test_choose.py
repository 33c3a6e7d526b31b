"""Which agent the settings select."""

from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.settings import Settings


def test_the_setting_selects_the_agent() -> None:
    """AGENT_BACKEND names one or the other."""
    assert isinstance(agent_of(Settings()), Codex)
    assert agent_of(Settings(agent_backend="spec-kit:gemini")).backend == "spec-kit:gemini"
