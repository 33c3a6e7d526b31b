"""Which agent the settings select."""

import pytest

from moonmind_appliance.agents.adapter import TurnRequest
from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.models import PhaseName
from moonmind_appliance.settings import Settings
from tests.in_container.sent import job_of


def test_the_setting_selects_the_agent() -> None:
    """AGENT_BACKEND names one or the other."""
    assert isinstance(agent_of(Settings()), Codex)
    assert agent_of(Settings(agent_backend="spec-kit:gemini")).backend == "spec-kit:gemini"


@pytest.mark.parametrize("web_search", [False, True])
def test_the_setting_decides_about_web_searches(*, web_search: bool) -> None:
    """AGENT_WEB_SEARCH is off unless the operator sets it."""
    settings = Settings(agent_web_search=True) if web_search else Settings()
    request = TurnRequest(phase=PhaseName.SPECKIT_PLAN, workspace="/w", text="", time_limit=5, silence_limit=4)
    command = job_of(agent_of(settings).turn(request).command)["command"]
    assert f'web_search="{"live" if web_search else "disabled"}"' in command
