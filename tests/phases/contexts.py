"""A context of a phase, with recorders in memory."""

from collections.abc import Mapping
from typing import Any

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.tokens import FixedToken, TokenSource
from moonmind_appliance.models import ArtifactType, LoginCheck, PhaseName, Run
from moonmind_appliance.phases.commands import Tee
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.names import Names
from moonmind_appliance.phases.prepared_commands import PreparedCommands
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Secret, Settings
from tests.appliance_under_test import ScriptedAgent
from tests.containers.fake import FakeEngine
from tests.fakes import ANN, NOW, shard_names

RUN_ID = "0f3a9c1e-0000-4000-8000-000000000000"


class UsableLogin:
    """A `LoginRecorder` that accepts every login."""

    def record(self, login_file: bytes | None) -> str:
        return ""

    def checked(self, check: LoginCheck) -> None:
        """It has no effect."""


class RecordedEvents:
    """An `EventRecorder` in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        self.events.append((kind, dict(data)))


class OnlyToken:
    """A client for GitHub that has a token for Git, and whose REST API does not answer."""

    def __init__(self, token: str = "", pauses: tuple[float, ...] = ()) -> None:
        self.tokens: TokenSource = FixedToken(Secret(token))
        self.pauses = pauses

    def branch_head(self, slug: str, branch: str) -> str | None:
        raise GitHubError("No response.", status=None)


class RecordedArtifacts:
    """An `ArtifactRecorder` in memory; its logs too."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> Any:
        tee = Tee(keep=10**6)
        tee.storage_path, tee.close = f"{phase.value}.{artifact_type.value}", lambda: None  # type: ignore[attr-defined]
        return tee

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def keep(self, name: str, artifact_type: ArtifactType, phase: PhaseName, content: bytes, content_type: str) -> str:
        self.files[name] = content
        return name


def make_context(
    *, settings: Mapping[str, Any] | None = None, run: Mapping[str, Any] | None = None, **fields: Any
) -> PhaseContext:
    """A context on the fake engine, for a run on shard 0; `settings` and `run` replace single fields of them."""
    given = {
        "run_id": RUN_ID,
        "repository": "acme/shop",
        "specify_text": "Dark mode, please.",
        "accepted_at": NOW,
        "created_by": ANN,
    }
    known = {
        "run": Run(**(given | dict(run or {}))),
        "settings": Settings(**dict(settings or {})),
        "names": Names(RUN_ID, "tests", shard_names()[0], broker=bool((settings or {}).get("login_broker"))),
        "engine": FakeEngine(),
        "github": None,
        "agent": ScriptedAgent(),
        "redactor": Redactor(),
        "artifacts": RecordedArtifacts(),
        "cancel": CancelToken(),
        "login_recorder": UsableLogin(),
        "events": RecordedEvents(),
    }
    known |= fields
    return PhaseContext(**({"prepared": PreparedCommands(known["engine"])} | known))
