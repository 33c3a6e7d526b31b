"""An agent writes secrets into every field that it controls: none of them is stored or published."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.cli.logs import TextFormatter
from moonmind_appliance.models import AgentVerdict, ExecOutcome, PhaseName, QuotaWindow, Run, TurnOutcome
from tests.api.served import serve
from tests.appliance_under_test import DOCUMENTS, FEATURE, ApplianceUnderTest, Reader, ScriptedAgent
from tests.containers.fake_exec import FakeExec

BY_FORM = "ghp_canary00000000000000000000000000000001"
# The login of shard 0 in this appliance, which the redactor knows once the run has begun.
LOGIN = "rt_secretOfShard0-0123456789"
BY_VALUE = "canary value without any form 0123456789"
CANARIES = (BY_FORM, LOGIN, BY_VALUE)
EVERYTHING = " ".join(CANARIES)
SPECIFICATION = (
    f"# Feature Specification: Dark {EVERYTHING}\n\n- [NEEDS CLARIFICATION: {EVERYTHING}?]\n\n"
    f"## Assumptions\n\n- {EVERYTHING}\n"
)


class HostileReader(Reader):
    """Reports a turn in which every field contains the secrets."""

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        known = super().outcome(ended)
        return TurnOutcome(
            verdict=known.verdict,
            message=EVERYTHING,
            thread_id=LOGIN,
            usage=dict.fromkeys(CANARIES, 1),
            quota=[QuotaWindow(1.0, 300)],
            limit=f"workspace_limit {EVERYTHING}",
        )


class HostileAgent(ScriptedAgent):
    """Writes the secrets into its output and its files."""

    def reader(self, log: Any) -> HostileReader:
        return HostileReader(log)

    def answer(self, process: FakeExec) -> int:
        process.stdout.write(f"{EVERYTHING}\n".encode())
        process.stderr.write(f"{EVERYTHING}\n".encode())
        return super().answer(process)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What `serve` would write."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logger = logging.getLogger("moonmind_appliance")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def hostile(appliance: ApplianceUnderTest, log: io.StringIO) -> HostileAgent:
    agent = HostileAgent()
    appliance.resources.redactor.add("OIDC_CLIENT_SECRET", BY_VALUE)
    logging.getLogger("moonmind_appliance").handlers[-1].setFormatter(TextFormatter(appliance.resources.redactor))
    appliance.engine.on_exec(lambda _, spec: spec.command[0] == "agent", agent.answer)
    appliance.with_resources(agent=agent)
    named = {"path": f"docs/{BY_FORM}", "reason": EVERYTHING}
    appliance.git_acts["stage"] = [lambda _: {"left_out": [named], "nested_repositories_removed": [f"x/{LOGIN}"]}]
    return agent


def files_of(feature: str, phase: PhaseName, text: str | None = None) -> dict[str, str]:
    name, usual = DOCUMENTS[phase]
    return {".specify/feature.json": json.dumps({"feature_directory": feature}), f"{feature}/{name}": text or usual}


def all_that_is_kept(appliance: ApplianceUnderTest, data_dir: Path, run: Run) -> dict[str, str]:
    """Every file of the data folder (database, WAL, artifacts), every response of the API, every request to GitHub."""
    found = {str(path): path.read_bytes().decode("latin-1") for path in data_dir.rglob("*") if path.is_file()}
    with serve(data_dir) as served:
        client = served.client("olga")
        # A stream of events ends with its run.
        client.post(f"/runs/{run.run_id}/cancel")
        pages = ["/runs", f"/runs/{run.run_id}", "/shards", f"/runs/{run.run_id}/events"]
        artifacts = client.get(f"/runs/{run.run_id}").json()["artifacts"]
        pages += [f"/runs/{run.run_id}/artifacts/{entry['artifact_id']}" for entry in artifacts]
        pages += [f"{page}/content" for page in pages[4:]]
        for page in pages:
            answer = client.get(page)
            assert answer.status_code == 200, page
            found[page] = answer.text
    found["GitHub"] = str(appliance.github.pull_requests(appliance.slug))
    return found


def leaks(found: dict[str, str]) -> list[str]:
    return [where for where, text in found.items() if any(canary in text for canary in CANARIES)]


def test_a_run_that_succeeds(
    appliance: ApplianceUnderTest, hostile: HostileAgent, log: io.StringIO, tmp_path: Path
) -> None:
    """Turn, usage, heading, questions, assumptions, output, paths: no secret is stored, and the run is readable."""
    hostile.acts[PhaseName.SPECKIT_SPECIFY] = [
        lambda _: {"files": files_of(FEATURE, PhaseName.SPECKIT_SPECIFY, SPECIFICATION)}
    ]
    run = appliance.run()
    assert run.status.value == "succeeded", run.failure
    assert "[redacted:" in run.clarifications[0]
    assert run.phase(PhaseName.SPECKIT_SPECIFY).metadata["turn"]["thread_id"].startswith("[redacted:")
    found = all_that_is_kept(appliance, tmp_path / "data", run) | {"log": log.getvalue()}
    assert leaks(found) == []
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert "redacted:GitHub token" in pull.title
    assert pull.body.count("redacted:") > 4


@pytest.mark.parametrize("name", [BY_FORM, LOGIN])
def test_a_feature_directory_that_is_a_secret(
    appliance: ApplianceUnderTest, hostile: HostileAgent, log: io.StringIO, tmp_path: Path, name: str
) -> None:
    """Spec Kit's record names the directory: it reaches metadata, the commit's job and the pull request."""
    feature = f"specs/{name}"
    for phase in DOCUMENTS:
        hostile.acts[phase] = [lambda _, phase=phase: {"files": files_of(feature, phase)}]  # type: ignore[misc]
    run = appliance.run()
    assert leaks(all_that_is_kept(appliance, tmp_path / "data", run) | {"log": log.getvalue()}) == []


@pytest.mark.parametrize(
    "act",
    [
        {"exit_code": 1},
        {"verdict": AgentVerdict.UNREACHABLE.value},
        {"verdict": AgentVerdict.PLAN_WITHOUT_CODEX.value},
        {"verdict": AgentVerdict.QUOTA.value},
        {"verdict": AgentVerdict.LOGIN_DEAD.value},
        {"files": {}},
    ],
    ids=str,
)
def test_a_run_that_fails_or_waits(
    appliance: ApplianceUnderTest, hostile: HostileAgent, log: io.StringIO, tmp_path: Path, act: dict[str, Any]
) -> None:
    """The agent's last message is in the failure, the summary, the shard's state, events and the log."""
    hostile.acts[PhaseName.SPECKIT_PLAN] = [lambda _: act] * 2
    run = appliance.run()
    assert run.status.value in {"failed", "queued"}
    found = all_that_is_kept(appliance, tmp_path / "data", run) | {"log": log.getvalue()}
    assert leaks(found) == []
