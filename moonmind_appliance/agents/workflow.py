"""Any agent for which Spec Kit has an integration, run by Spec Kit's own engine: `specify workflow run`.

Spec Kit knows how to run each agent non-interactively; the appliance gives it a workflow of one command per phase. The
agent itself must be in the job image. Its login is a file of variables, such as an API key, stored with
`login-shard N --from-file`; that file may also contain the integration's own variables
(`SPECKIT_INTEGRATION_<KEY>_EXTRA_ARGS`, `…_EXECUTABLE`). Facts about Spec Kit are those seen on 1.2.3.
"""

import hashlib
from collections.abc import Mapping

from moonmind_appliance.agents.adapter import BrokerReader, LoginFacts, LoginMethod, ServiceAnswers, Turn, TurnRequest
from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.agents.turn_output import Report, TurnOutput
from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT, VARIABLES_LOGIN
from moonmind_appliance.in_container.workflow_turn import NO_INTEGRATION, login_variables
from moonmind_appliance.models import (
    AgentInfo,
    AgentVerdict,
    ExecOutcome,
    ExecSpec,
    LoginCheck,
    PhaseName,
    TurnOutcome,
    version_label,
)
from moonmind_appliance.models.container_paths import AGENT_HOME, LOGIN_FOLDER, WORKSPACES
from moonmind_appliance.redaction import ByteSink

COMMANDS: dict[PhaseName, str] = {
    PhaseName.SPECKIT_SPECIFY: "speckit.specify",
    PhaseName.SPECKIT_PLAN: "speckit.plan",
    PhaseName.SPECKIT_TASKS: "speckit.tasks",
}
BACKEND_PREFIX = "spec-kit:"
_LAST_WORDS = 600


class SpecKitWorkflow:
    """One of Spec Kit's integrations, by its key; an `AgentAdapter`."""

    def __init__(self, integration: str, *, egress: Egress | None = None) -> None:
        self._integration = integration
        self._egress = egress or Egress()

    @property
    def backend(self) -> str:
        """Spec Kit and the integration's key."""
        return f"{BACKEND_PREFIX}{self._integration}"

    @property
    def name(self) -> str:
        """The integration's key."""
        return self._integration

    @property
    def integration(self) -> str:
        """Its key."""
        return self._integration

    @property
    def service(self) -> str:
        """The integration's, without a name."""
        return f"the service of {self._integration}"

    addresses = ()
    browser_callback = None
    import_hint = "Use a file with one NAME=value per line."

    def info(self, image_labels: Mapping[str, str]) -> AgentInfo:
        """The agent's version, from the label `moonmind.<integration>.version`, and Spec Kit's."""
        spec_kit = image_labels.get(version_label("spec-kit"), "unknown")
        return AgentInfo(
            backend=self.backend,
            version=image_labels.get(version_label(self._integration), "unknown"),
            prompt_pack_version=f"spec-kit {spec_kit}, workflow",
        )

    def hosts(self) -> tuple[str, ...]:
        """None: the hosts are unknown, so the operator lists them in AGENT_EGRESS_ALLOW."""
        return ()

    def proxies(self) -> dict[str, str]:
        """The proxy variables of the wall, or of the operator's proxy."""
        return self._egress.proxies()

    def environment(self) -> dict[str, str]:
        """A clean environment; only the turn sets the login's variables."""
        env = {"HOME": AGENT_HOME, "LANG": "C.UTF-8", "TERM": "dumb"}
        return env | self._egress.environment("NODE_EXTRA_CA_CERTS")

    def broker_job(self) -> None:
        """None: how a request carries the login differs between agents."""

    def answers_command(self, login: str | None) -> list[str]:
        """There is none."""
        raise NotImplementedError

    def read_answers(self, printed: bytes) -> ServiceAnswers:
        """There are none."""
        raise NotImplementedError

    def broker_reader(self) -> BrokerReader:
        """There is none."""
        raise NotImplementedError

    def brokered_environment(self) -> dict[str, str]:
        """None."""
        return {}

    def login_files(self) -> tuple[str, ...]:
        """The file of variables."""
        return (VARIABLES_LOGIN,)

    def secrets_of(self, login_file: bytes) -> dict[str, str]:
        """All values: only the agent knows which of them are secret."""
        variables = login_variables(login_file.decode(errors="replace"))
        return {name: value for name, value in variables.items() if not name.startswith("SPECKIT_")}

    def login_facts(self, login_file: bytes) -> LoginFacts:
        """Usable if it contains a variable; never expires. No agent renews it: a different file is another account."""
        usable = len(login_file) <= LOGIN_FILE_LIMIT and bool(self.secrets_of(login_file))
        account = hashlib.sha256(login_file).hexdigest()[:32] if usable else None
        return LoginFacts(usable=usable, by_api_key=True, account=account, account_is_content=True)

    def login_command(self, method: LoginMethod = LoginMethod.DEVICE) -> list[str]:
        """There is no sign-in: print how to store the login, and fail."""
        message = f"{self.backend} does not support the sign-in {method.value}: import its variables with --from-file."
        return ["sh", "-c", 'echo "$1" >&2; exit 1', "sh", message]

    def logout_command(self) -> list[str]:
        """Remove the file; there is nothing to revoke."""
        return command("remove_login", {"folder": LOGIN_FOLDER, "name": VARIABLES_LOGIN})

    def check_command(self) -> None:
        """None: a login cannot be checked without a model turn."""

    def read_check(self, printed: bytes) -> LoginCheck:  # noqa: ARG002 - the protocol's shape
        """The state is unknown."""
        return LoginCheck(alive=None)

    def turn(self, request: TurnRequest) -> Turn:
        """A workflow with the phase's one command; its file contains the text."""
        workflow = f"{WORKSPACES}/{request.phase.value}.workflow.yml"
        repository = f"{request.workspace}/repo"
        turn = {
            "repository": repository,
            "integration": self._integration,
            "workflow": workflow,
            "login_folder": LOGIN_FOLDER,
            "feature": request.feature,
            "report": request.report,
        }
        return Turn(
            files={workflow: self._workflow(request.phase, request.text)},
            command=ExecSpec(
                command=command("workflow_turn", turn),
                working_dir=repository,
                time_limit=request.time_limit,
                silence_limit=request.silence_limit,
            ),
        )

    def _workflow(self, phase: PhaseName, text: str) -> bytes:
        """YAML; the text is an input's default, so that Spec Kit's own expressions in it stay text."""
        command = COMMANDS[phase]
        arguments = '{args: "{{ inputs.text }}"}'
        integration = yaml_string(self._integration)
        lines = [
            'schema_version: "1.0"',
            f'workflow: {{id: "moonmind-{phase.value.replace("_", "-")}", name: "{command}", version: "1.0.0"}}',
            "inputs:",
            f"  text: {{type: string, required: false, default: {yaml_string(text)}}}",
            "steps:",
            f'  - {{id: phase, command: "{command}", integration: {integration}, input: {arguments}}}',
        ]
        return "\n".join([*lines, ""]).encode()

    def reader(self, log: ByteSink) -> "WorkflowReader":
        """A reader for one turn."""
        return WorkflowReader(log)


class WorkflowReader(TurnOutput[Report]):
    """Keeps the agent's last lines. Spec Kit's exit code decides how the turn went."""

    def __init__(self, log: ByteSink) -> None:
        super().__init__(log, Report)
        self._tail = b""

    def _read(self, line: bytes) -> None:
        self._tail = (self._tail + line)[-_LAST_WORDS:]

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        """How the turn went."""
        self.close()
        message = " ".join(self._tail.decode(errors="replace").split())
        if ended.exit_code == NO_INTEGRATION:
            message = "Spec Kit could not set up the integration; see the phase's stderr."
        verdict = AgentVerdict.COMPLETED if ended.ok else AgentVerdict.FAILED
        return TurnOutcome(verdict=verdict, message=message)


def yaml_string(text: str) -> str:
    """Any text as a double-quoted YAML scalar of plain ASCII (https://yaml.org/spec/1.2.2/#57-escaped-characters)."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    coded = (plain.get(c) or (c if " " <= c <= "~" else f"\\U{ord(c):08X}") for c in text)
    return f'"{"".join(coded)}"'
