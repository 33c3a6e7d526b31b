"""The interface that an agent must implement for the three Spec Kit phases.

An adapter defines how its container is set up and how a turn is started, and parses how the turn went. It starts
nothing itself: phases pass its `ExecSpec` to the container engine, and the output to its reader.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from moonmind_appliance.models import (
    AgentInfo,
    ExecOutcome,
    ExecSpec,
    LoginCheck,
    PhaseName,
    QuotaWindow,
    TurnOutcome,
)

if TYPE_CHECKING:
    # Its import prepares the redactor's patterns, which commands that only read do not need.
    from moonmind_appliance.redaction import ByteSink

SKILLS: dict[PhaseName, str] = {
    PhaseName.SPECKIT_SPECIFY: "speckit-specify",
    PhaseName.SPECKIT_PLAN: "speckit-plan",
    PhaseName.SPECKIT_TASKS: "speckit-tasks",
}


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One phase's turn. `text` is the submitter's text, treated as data; only `specify` has one.

    `workspace` contains `repo/`. `feature` is the feature's folder, relative to the repository; None for `specify`,
    which writes it. `report` names files to report at the end, relative to the repository or absolute; `{feature}` is
    replaced by that folder. Limits are in seconds.
    """

    phase: PhaseName
    workspace: str
    text: str
    feature: str | None = None
    report: tuple[str, ...] = ()
    time_limit: float
    silence_limit: float


class LoginMethod(StrEnum):
    """How a person signs in: by device code, by the browser on the same machine, or with an API key."""

    DEVICE = "device"
    BROWSER = "browser"
    API_KEY = "api_key"


class BrowserCallback(msgspec.Struct, frozen=True):
    """Where a sign-in waits for the browser: a port of the loopback interface, and the paths that it answers."""

    port: int
    paths: tuple[str, ...]


class LoginFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a login file. Times are UTC; nothing is verified.

    `account` is a short name for the account and the kind of login: a renewal does not change it, and every account has
    a different one. None if `usable` is False. `account_is_content`: it is a digest of the whole file, so a file of the
    same account is as the operator made it.
    """

    usable: bool
    account: str | None = None
    account_is_content: bool = False
    email: str | None = None
    plan: str | None = None
    by_api_key: bool = False
    made_at: datetime | None = None
    access_expires_at: datetime | None = None


class Turn(msgspec.Struct, frozen=True):
    """How to start a turn: files to write into the container first (path to content), then one command.

    The files are directly in `WORKSPACES`, which exists in each attempt.
    """

    files: dict[str, bytes]
    command: ExecSpec


class TurnReport(msgspec.Struct, frozen=True):
    """The report at the end of a turn: text of the requested files, the login file's SHA-256, and the feature.

    `files` contains regular files only. `feature` is the folder that `specify` wrote (None: none), or that the request
    named; `feature_problem` says why a folder was refused, with its name. The whole report is untrusted: the agent
    could have forged it.
    """

    files: dict[str, str] = {}
    login_digest: str | None = None
    feature: str | None = None
    feature_problem: str = ""


class TurnReader(Protocol):
    """Parses an agent's output as it arrives, and passes on what belongs in the log."""

    def write(self, data: bytes, /) -> None:
        """Process bytes of standard output."""

    def close(self) -> None:
        """Process the end of the output. Idempotent."""

    def report(self) -> TurnReport:
        """The turn's report; empty if the turn was interrupted."""

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        """How the turn went, after all output was written. Only evidence: a phase is accepted by its files."""


class ServiceAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent's service answers about the account, without a model turn.

    `quota` and `models` (their number) are None if there was no answer; then the problems say why. `models_digest`
    stands for all that was answered about the models; `models_contained`: it is the list that the agent contains.
    """

    quota: list[QuotaWindow] | None
    quota_problem: str
    models: int | None
    models_digest: str
    models_problem: str
    models_contained: bool


class BrokeredLogin(msgspec.Struct, frozen=True):
    """What a login broker made for one run: a login file that only it accepts, and its certificate authority (PEM)."""

    login_file: bytes
    authority: bytes


class BrokerReader(Protocol):
    """Parses what a login broker prints. Thread-safe.

    A position is a number of events; those after it happened later.
    """

    longest_line: int
    """Bytes; longer lines are not read."""

    def take(self, line: bytes) -> None:
        """Process one line without its end."""

    @property
    def login(self) -> BrokeredLogin | None:
        """The login for the agent's container; None until the broker is ready, or if it made none."""

    @property
    def problem(self) -> str:
        """Why the broker could not start; "" if it did not say so."""

    def position(self) -> int:
        """The position now."""

    def checks(self, since: int) -> list[LoginCheck]:
        """The broker's attempts to renew the login after that position, in their order."""

    def refusals(self) -> list[str]:
        """Which requests the service refused, for display."""

    def outcome(self, reported: TurnOutcome, since: int) -> TurnOutcome:
        """How the turn went that began at that position, with the broker's evidence on login, limits and quota.

        `reported` is what the agent's container said; its claims about these are ignored.
        """


class AgentAdapter(Protocol):
    """One kind of agent."""

    @property
    def backend(self) -> str:
        """Its name, as the run records it."""

    @property
    def name(self) -> str:
        """Its name, for display."""

    @property
    def integration(self) -> str:
        """The key of Spec Kit's integration for this agent: a repository's own Spec Kit must contain its commands."""

    @property
    def service(self) -> str:
        """Who runs the model and accepts the login, for display."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of that service that the agent's container must reach; empty if they are unknown."""

    @property
    def browser_callback(self) -> BrowserCallback | None:
        """For `LoginMethod.BROWSER`; None if this agent has no such sign-in."""

    @property
    def import_hint(self) -> str:
        """Which file to store as a login that was made elsewhere, for display."""

    def info(self, image_labels: Mapping[str, str]) -> AgentInfo:
        """The versions in the job image, from its labels."""

    def hosts(self) -> tuple[str, ...]:
        """Hosts of that service that the agent needs, as entries of AGENT_EGRESS_ALLOW; empty if they are unknown."""

    def environment(self) -> dict[str, str]:
        """The environment of containers with a login, without proxies. Must contain no secret: inspect shows it."""

    def proxies(self) -> dict[str, str]:
        """The proxy variables of the agent container."""

    def broker_job(self) -> dict[str, Any] | None:
        """The agent's part of the login broker's job; None if this agent has no login broker."""

    def answers_command(self, login: str | None) -> list[str]:
        """The command that asks the service about the account. Only for an agent with a `broker_job`.

        `login` is the file of the login broker's login; None in the container that has the shard's login.
        """

    def read_answers(self, printed: bytes) -> ServiceAnswers:
        """Parse what it printed."""

    def broker_reader(self) -> BrokerReader:
        """A reader for the login broker of one run. Only for an agent with a `broker_job`."""

    def brokered_environment(self) -> dict[str, str]:
        """Variables that only the agent container needs, if the run has a login broker."""

    def login_files(self) -> tuple[str, ...]:
        """Files of a stored login, relative to the login folder; the first one exists exactly if there is a login."""

    def secrets_of(self, login_file: bytes) -> dict[str, str]:
        """The secret values of a stored login (kind to value), for redaction. Empty if it cannot be read."""

    def login_facts(self, login_file: bytes) -> LoginFacts:
        """The contents of a stored login; `usable` is False if it cannot be read."""

    def login_command(self, method: LoginMethod = LoginMethod.DEVICE) -> list[str]:
        """The command that signs in by `method`, in a container with an empty login folder.

        It reads an API key from `API_KEY_FILE`, and removes the file. For the browser, it listens as `browser_callback`
        says, in the container.
        """

    def logout_command(self) -> list[str]:
        """The command that revokes the stored login and removes its file; exit code 0 even if there was none."""

    def check_command(self) -> list[str] | None:
        """The command that renews the stored login without a model turn; None if this agent cannot do that."""

    def read_check(self, printed: bytes) -> LoginCheck:
        """Parse the check's output."""

    def turn(self, request: TurnRequest) -> Turn:
        """How to start that phase's turn."""

    def reader(self, log: "ByteSink") -> TurnReader:
        """A reader for one turn; the agent's own lines go on into `log`."""
