"""What an agent must answer to do the three Spec Kit phases.

An adapter says how its container is set up and how a turn is started, and reads how the turn went. It starts nothing
itself: phases hand its `ExecSpec` to the container engine, and the output to its reader.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from moonmind_appliance.models import AgentInfo, ExecOutcome, ExecSpec, LoginCheck, PhaseName, TurnOutcome
from moonmind_appliance.redaction import ByteSink

# Paths inside the job image; job_image/README.md is their contract.
AGENT_HOME = "/work/codex-home"
LOGIN_FOLDER = f"{AGENT_HOME}/.codex"
WORKSPACES = "/work/runs"
AGENT_CA_FILE = f"{WORKSPACES}/extra-ca.pem"
# Bytes; a larger file is no login.
LOGIN_FILE_LIMIT = 256 * 1024

SKILLS: dict[PhaseName, str] = {
    PhaseName.SPECKIT_SPECIFY: "speckit-specify",
    PhaseName.SPECKIT_PLAN: "speckit-plan",
    PhaseName.SPECKIT_TASKS: "speckit-tasks",
}


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One phase's turn. `text` is the submitter's, byte for byte data; only `specify` has one.

    `workspace` holds `repo/`. `report` names files to be told of at the end, relative to the repository or
    absolute; `{feature}` stands for the directory that `.specify/feature.json` names. Limits are in seconds.
    """

    phase: PhaseName
    workspace: str
    text: str
    report: tuple[str, ...] = ()
    time_limit: float
    silence_limit: float


class LoginWay(StrEnum):
    """How a person signs in: by device code, by the browser on the same machine, or with an API key."""

    DEVICE = "device"
    BROWSER = "browser"
    API_KEY = "api_key"


class LoginFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a login file says about itself. Times are UTC; nothing here was verified.

    `account` is a short name of the account and the kind of login: the same before and after a renewal, another one
    for every other account. None where `usable` is False.
    """

    usable: bool
    account: str | None = None
    email: str | None = None
    plan: str | None = None
    by_api_key: bool = False
    made_at: datetime | None = None
    access_expires_at: datetime | None = None


class Turn(msgspec.Struct, frozen=True):
    """How a turn is started: files to put into the container first (path to content), then one command.

    The files lie in `WORKSPACES` itself: they may be put while the clone still makes the run's folder below it.
    """

    files: dict[str, bytes]
    command: ExecSpec


class TurnReport(msgspec.Struct, frozen=True):
    """What the turn's command saw at its end: text of the files that were asked for, and the login file's SHA-256.

    `files` holds what is a regular file; the agent wrote it, and could have made the whole report up: trust nothing.
    """

    files: dict[str, str] = {}
    login_digest: str | None = None


class TurnReader(Protocol):
    """Reads an agent's output as it comes, and hands on what belongs into the log."""

    def write(self, data: bytes, /) -> None:
        """Take some bytes of standard output."""

    def close(self) -> None:
        """All output was written. Safe twice."""

    def report(self) -> TurnReport:
        """What the turn's command saw at its end; empty where it was cut short."""

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        """How the turn went, once all output was written. Evidence only: a phase is accepted by its files."""


class AgentAdapter(Protocol):
    """One kind of agent."""

    @property
    def backend(self) -> str:
        """Its name, as the run records it."""

    def info(self, image_labels: Mapping[str, str]) -> AgentInfo:
        """Which versions the job image brings, by its labels."""

    def environment(self) -> dict[str, str]:
        """The agent container's environment. Holds no secret: inspect shows it."""

    def login_files(self) -> tuple[str, ...]:
        """Files of a stored login, relative to the login folder; the first one tells whether there is one."""

    def secrets_of(self, login_file: bytes) -> dict[str, str]:
        """The secret values of a stored login (kind to value), for redaction. Empty when it cannot be read."""

    def login_facts(self, login_file: bytes) -> LoginFacts:
        """What a stored login says about itself; `usable` is False when it cannot be read."""

    def login_command(self, way: LoginWay = LoginWay.DEVICE) -> list[str]:
        """The command that signs in that way, in a container with an empty login folder.

        An API key lies in the file `api-key` of that folder, and is gone afterwards. For the browser, the command
        listens on port 1455 of the container.
        """

    def logout_command(self) -> list[str]:
        """The command that revokes the stored login and removes its file; 0 also where there was none."""

    def check_command(self) -> list[str] | None:
        """The command that renews the stored login without a model turn; None where this agent has no such thing."""

    def read_check(self, printed: bytes) -> LoginCheck:
        """What the check's output says."""

    def turn(self, request: TurnRequest) -> Turn:
        """How to start that phase's turn."""

    def reader(self, log: ByteSink) -> TurnReader:
        """A reader for one turn; the agent's own lines go on into `log`."""
