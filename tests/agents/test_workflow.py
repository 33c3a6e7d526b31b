"""Another agent, through Spec Kit's engine."""

import posixpath

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.agents.adapter import SKILLS, AgentAdapter, LoginMethod, TurnRequest
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.workflow import SpecKitWorkflow, yaml_string
from moonmind_appliance.in_container.workflow_turn import NO_INTEGRATION
from moonmind_appliance.models import AgentVerdict, EndReason, ExecOutcome, PhaseName
from moonmind_appliance.models.container_paths import WORKSPACES
from tests.in_container.sent import job_of

AGENT = SpecKitWorkflow("claude")


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_unchanged_in_a_workflow(text: str) -> None:
    """Quotes, line breaks, control characters and YAML syntax survive writing and reading."""
    assert yaml.safe_load(yaml_string(text)) == text


@pytest.mark.parametrize("agent", [AGENT, Codex()])
@pytest.mark.parametrize("phase", list(SKILLS))
def test_a_turns_files_are_outside_the_runs_folder(agent: AgentAdapter, phase: PhaseName) -> None:
    """They are written while the clone still creates that folder."""
    request = TurnRequest(phase=phase, workspace=f"{WORKSPACES}/r", text="text", time_limit=5, silence_limit=4)
    assert {posixpath.dirname(path) for path in agent.turn(request).files} <= {WORKSPACES}


def test_a_turn_is_a_workflow_of_one_command() -> None:
    """No gate and no second step; the text is the value of an input."""
    request = TurnRequest(
        phase=PhaseName.SPECKIT_SPECIFY, workspace="/w", text="a {{ b }}", time_limit=5, silence_limit=4
    )
    turn = AGENT.turn(request)
    ((path, content),) = turn.files.items()
    flow = yaml.safe_load(content)
    assert [(step["command"], step["integration"]) for step in flow["steps"]] == [("speckit.specify", "claude")]
    assert flow["inputs"]["text"]["default"] == "a {{ b }}"
    assert job_of(turn.command)["workflow"] == path
    assert (turn.command.time_limit, turn.command.silence_limit) == (5, 4)


@pytest.mark.parametrize(
    ("code", "verdict"), [(0, AgentVerdict.COMPLETED), (1, AgentVerdict.FAILED), (NO_INTEGRATION, AgentVerdict.FAILED)]
)
def test_the_outcome_of_a_turn(code: int, verdict: AgentVerdict) -> None:
    """Spec Kit's exit code decides; the report line is not in the log."""
    log = Kept()
    reader = AGENT.reader(log)
    reader.write(b'working\n{"type": "moonmind.report", "login_digest": "d", "fi')
    reader.write(b'les": {"a": "b"}}\nrest')
    outcome = reader.outcome(ExecOutcome(EndReason.EXITED, code, 1.0))
    assert outcome.verdict is verdict
    assert log.data == b"working\nrest"
    assert (reader.report().files, reader.report().login_digest) == ({"a": "b"}, "d")


def test_the_login_is_a_file_of_variables() -> None:
    """Their values are secrets, except for Spec Kit's own."""
    file = b"# mine\nANTHROPIC_API_KEY = key-1\nSPECKIT_INTEGRATION_CLAUDE_EXTRA_ARGS=--yes\nnonsense\n"
    assert AGENT.secrets_of(file) == {"ANTHROPIC_API_KEY": "key-1"}
    assert AGENT.login_facts(file).usable
    assert not AGENT.login_facts(b"nonsense\nEMPTY=\n").usable


def test_unsupported_actions_are_reported() -> None:
    """There is no sign-in and no check."""
    assert "--from-file" in " ".join(AGENT.login_command(LoginMethod.DEVICE))
    assert AGENT.check_command() is None
    assert AGENT.read_check(b"").alive is None
