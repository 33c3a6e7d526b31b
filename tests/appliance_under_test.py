"""An appliance without Docker and without a model, for tests of execution.

The fake engine, a scripted agent, a real store on disk, and GitHub's stand-in over real HTTP.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.adapter import LoginFacts, LoginMethod, ServiceAnswers, Turn, TurnReport, TurnRequest
from moonmind_appliance.agents.codex_broker import CodexBroker
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.execution.executor import Executor
from moonmind_appliance.github import Connection, GitHub
from moonmind_appliance.models import (
    Actor,
    AgentInfo,
    AgentVerdict,
    ContainerSpec,
    ExecOutcome,
    ExecSpec,
    LoginCheck,
    LoginState,
    PhaseName,
    Run,
    RunStatus,
    Shard,
    TurnOutcome,
)
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.submit import SubmitRequest, submit_run
from moonmind_appliance.scheduling.wake import maintain
from moonmind_appliance.settings import Secret, Settings
from moonmind_appliance.store import Store
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile
from tests.fakes import ANN, NOW, Clock, RecordedWakeups, shard_names
from tests.in_container.git_fixture import git
from tests.in_container.sent import job_of, program_of
from tests.shard_states import save_shard

TOKEN = "ghp_worldToken0123456789abcdefghijklmnop"
FEATURE = "specs/001-dark-mode"
SPEC_KIT = {
    "used": "repository",
    "kind": "complete",
    "reason": "It is complete.",
    "version": "0.9.4",
    "templates": {},
    "constitution": True,
    "notes": [],
    "problem": "",
}
COMMIT = "c" * 40
BASE = "b" * 40
# A hundredth of the real interval, so that a cancel is noticed quickly.
BEAT = 0.02
PATCH = b"diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+words\n"
DOCUMENTS = {
    PhaseName.SPECKIT_SPECIFY: (
        "spec.md",
        "# Feature Specification: Dark mode\n\n## Assumptions\n\n- people have eyes\n",
    ),
    PhaseName.SPECKIT_PLAN: ("plan.md", "# Plan\n\nBuild it.\n"),
    PhaseName.SPECKIT_TASKS: ("tasks.md", "# Tasks\n\n- [ ] T001 Build it\n"),
}

Act = Callable[[FakeExec], dict[str, Any] | None]
"""What a turn does; returns what differs from a turn that went well."""


class Reader:
    """Reads the last line of a scripted turn."""

    def __init__(self, log: ByteSink) -> None:
        self._log = log
        self._text = b""

    def write(self, data: bytes, /) -> None:
        self._text += data
        self._log.write(data)

    def close(self) -> None:
        """Nothing is buffered."""

    @property
    def _said(self) -> dict[str, Any]:
        lines = self._text.splitlines()
        return json.loads(lines[-1]) if lines else {}

    def report(self) -> TurnReport:
        """The record takes the place of what the turn's program finds."""
        said = self._said
        files = said.get("files", {})
        feature = json.loads(files.get(".specify/feature.json", "{}")).get("feature_directory")
        return TurnReport(files, said.get("login"), feature, said.get("feature_problem", ""))

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        said = self._said
        verdict = AgentVerdict(said.get("verdict", "completed" if ended.ok else "failed"))
        resets = said.get("resets_at")
        return TurnOutcome(
            verdict=verdict,
            message=said.get("message", ""),
            usage={"output_tokens": 7},
            resets_at=datetime.fromisoformat(resets) if resets else None,
        )


class ScriptedAgent:
    """An `AgentAdapter` whose turns the test defines."""

    backend = name = "scripted"
    integration = "codex"
    service = "the scripted service"
    addresses = ()
    browser_callback = None
    import_hint = ""

    def __init__(self) -> None:
        self.acts: dict[PhaseName, list[Act]] = defaultdict(list)
        self.turns: list[PhaseName] = []

    def info(self, image_labels: Mapping[str, str]) -> AgentInfo:
        return AgentInfo("scripted", "1", "none")

    def hosts(self) -> tuple[str, ...]:
        return ("service.invalid",)

    def environment(self) -> dict[str, str]:
        return {}

    def proxies(self) -> dict[str, str]:
        return {}

    def broker_job(self) -> dict[str, Any]:
        return {}

    def answers_command(self, login: str | None) -> list[str]:
        raise NotImplementedError

    def read_answers(self, printed: bytes) -> ServiceAnswers:
        raise NotImplementedError

    def broker_reader(self) -> CodexBroker:
        return CodexBroker()

    def brokered_environment(self) -> dict[str, str]:
        return {}

    def login_files(self) -> tuple[str, ...]:
        return ("auth.json",)

    def secrets_of(self, login_file: bytes) -> dict[str, str]:
        return {"refresh_token": login_file.decode()}

    def login_facts(self, login_file: bytes) -> LoginFacts:
        return LoginFacts(usable=True, email="ann@example.invalid", made_at=NOW)

    def login_command(self, method: LoginMethod = LoginMethod.DEVICE) -> list[str]:
        return ["login"]

    def logout_command(self) -> list[str]:
        return ["logout"]

    def check_command(self) -> list[str] | None:
        return None

    def read_check(self, printed: bytes) -> LoginCheck:
        raise NotImplementedError

    def turn(self, request: TurnRequest) -> Turn:
        files = {f"{request.workspace.rpartition('/')[0]}/prompt": request.text.encode()} if request.text else {}
        return Turn(
            files,
            ExecSpec(
                command=["agent", request.phase.value],
                working_dir=f"{request.workspace}/repo",
                time_limit=request.time_limit,
                silence_limit=request.silence_limit,
            ),
        )

    def reader(self, log: ByteSink) -> Reader:
        return Reader(log)

    def answer(self, process: FakeExec) -> int:
        """What the fake engine does for a turn."""
        phase = PhaseName(process.spec.command[1])
        self.turns.append(phase)
        name, text = DOCUMENTS[phase]
        said: dict[str, Any] = {
            "files": {".specify/feature.json": json.dumps({"feature_directory": FEATURE}), f"{FEATURE}/{name}": text},
        }
        act = self.acts[phase].pop(0) if self.acts[phase] else None
        said |= (act(process) if act else None) or {}
        process.stdout.write(json.dumps(said).encode() + b"\n")
        return int(said.get("exit_code", 0))


@dataclass
class ApplianceUnderTest:
    """An appliance without Docker and without a model."""

    resources: Resources
    github: StandInGitHub | None
    slug: str
    executor: Executor = field(init=False)
    git_acts: dict[str, list[Act]] = field(default_factory=lambda: defaultdict(list))
    workspace_size: Callable[[], dict[str, int]] = field(default=lambda: dict(SMALL))
    git_verbs: list[str] = field(default_factory=list)
    publishes: bool = True
    """False: a push succeeds, and the branch is deleted at once."""

    def __post_init__(self) -> None:
        self.engine: Any = self.resources.engine
        self.agent: Any = self.resources.agent
        self.wakeups: Any = self.resources.wakeups
        self.clock: Any = self.resources.clock
        self.executor = Executor(self.resources, beat=BEAT)
        self.engine.on_exec(_is_turn, self.agent.answer)
        self.engine.on_exec(_is_git, self._git)
        for shard in self.resources.shards:
            self.sign_in(shard.index)

    @property
    def store(self) -> Store:
        return self.resources.store

    def sign_in(self, shard: int) -> None:
        name = self.resources.shards[shard].volume
        self.engine.ensure_volume(name, {})
        self.engine.volume_data[name].files["auth.json"] = FakeFile(f"rt_secretOfShard{shard}-0123456789".encode())

    def sign_out(self, shard: int) -> None:
        self.engine.volume_data[self.resources.shards[shard].volume].files.clear()

    def submit(self, actor: Actor = ANN, **fields: Any) -> Run:
        key = fields.pop("idempotency_key", None)
        request = SubmitRequest(**({"repository": self.slug, "specify_text": "Dark mode, please."} | fields))
        self.clock.advance(seconds=1)
        return submit_run(self.resources, actor, request, idempotency_key=key)

    def take(self, run: Run) -> str:
        """Claim the only queued run; returns its lease."""
        claimed = self.store.queue.claim(0, "lease", now=self.clock(), lease_seconds=60)
        assert claimed is not None
        assert claimed.run_id == run.run_id
        return "lease"

    def end(self, run: Run, status: RunStatus) -> None:
        """Claim the only queued run, and end it without executing it."""
        lease = self.take(run)
        self.store.progress.finish(run.run_id, lease, status, now=self.clock(), result_summary=None, failure=None)

    def know_logins(self, *states: LoginState) -> None:
        """Store the state of each shard's login."""
        for number, state in enumerate(states):
            save_shard(self.store, Shard(shard=number, login=state))

    def minute_passes(self) -> None:
        """Do the periodic work on logins and on why runs wait, as the thread `clock` does."""
        maintain(self.resources)

    def work(self, shard: int = 0) -> None:
        """Do that shard's work in this thread."""
        self.executor.work(shard)

    def stored(self, run: Run) -> Run:
        kept = self.store.runs.get(run.run_id)
        assert kept is not None
        return kept

    def run(self, **fields: Any) -> Run:
        """Submit a run and execute it."""
        run = self.submit(**fields)
        self.work()
        return self.stored(run)

    def after(self, **settings: Any) -> None:
        """Another process on the same data after a restart, with these settings."""
        changed = {name: getattr(self.resources.settings, name) for name in Settings.__struct_fields__} | settings
        self.with_resources(settings=Settings(**changed))

    def with_resources(self, **resources: Any) -> None:
        """Execute with other resources from now on, like a new process."""
        known = {name: getattr(self.resources, name) for name in Resources.__struct_fields__}
        known["stopping"] = threading.Event()
        self.executor = Executor(Resources(**(known | resources)), beat=BEAT)

    def kinds(self, run: Run) -> list[str]:
        """The kinds of a run's events, without those of its artifacts and fields."""
        events = self.store.events.after(0, run_id=run.run_id, limit=1000)
        return [event.kind for event in events if event.kind not in ("artifact.saved", "run.noted")]

    def statuses(self, run: Run) -> dict[str, str]:
        return {phase.phase.value: phase.status.value for phase in self.stored(run).phases}

    def containers(self) -> list[str]:
        return sorted(self.engine.container_data)

    def _git(self, process: FakeExec) -> int:
        job = job_of(process.spec)
        verb = program_of(process.spec).removeprefix("git_")
        self.git_verbs.append(verb)
        said: dict[str, Any] = {}
        if verb == "clone":
            process.make_folder(job["repository"])
            said = {"base_commit": BASE, "scaffold_files": 0, "spec_kit": SPEC_KIT}
        elif verb == "stage":
            said = {
                "base_commit": BASE,
                "tree": "t" * 40,
                "commit": COMMIT,
                "changed": True,
                "too_large": False,
                "patch_bytes": len(PATCH),
                "left_out": [],
                "left_out_count": 0,
                "nested_repositories_removed": [],
                "nested_repository_count": 0,
                "files": [{"path": "x", "status": "A", "added": 1, "removed": 0}],
                "file_count": 1,
                "size": self.workspace_size(),
            }
        else:
            said = {"pushed": True, "commit": job["commit"]}
        act = self.git_acts[verb].pop(0) if self.git_acts[verb] else None
        said |= (act(process) if act else None) or {}
        if code := said.get("exit_code"):
            return int(code)
        if verb == "push" and said["pushed"] and self.publishes:
            self._publish(job["branch"])
        process.stdout.write(json.dumps(said).encode() + b"\n")
        if verb == "stage" and said["changed"]:
            process.stdout.write(said.get("patch", PATCH.decode()).encode())
        return 0

    def _publish(self, branch: str) -> None:
        """Simulate the push: create the branch with one commit on its base."""
        assert self.github is not None
        bare = self.github.git_folder(self.slug)
        tree = git(bare, "rev-parse", "main^{tree}").decode().strip()
        commit = git(bare, "commit-tree", tree, "-p", "main", "-m", branch).decode().strip()
        git(bare, "update-ref", f"refs/heads/{branch}", commit)


SMALL = {"bytes": 1000, "files": 10, "hidden": 0, "free_bytes": 2**50, "free_files": 2**30}
"""A measurement of a small workspace."""


def _is_turn(_: ContainerSpec, spec: ExecSpec) -> bool:
    return spec.command[0] == "agent"


def _is_git(_: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec).startswith("git_")


_numbers = iter(range(1_000_000))


def make_resources(store: Store, data_dir: Path, settings: Mapping[str, Any] | None = None, **parts: Any) -> Resources:
    """A real store and folder; everything else is fake unless it is given."""
    made = Settings(**({"moonmind_data_dir": data_dir, "min_free_disk": 1} | dict(settings or {})))
    known = {
        "settings": made,
        "store": store,
        "engine": FakeEngine(),
        "github": None,
        "agent": ScriptedAgent(),
        "redactor": Redactor(),
        "files": ArtifactFiles(data_dir),
        "wakeups": RecordedWakeups(),
        "shards": tuple(shard_names(made.codex_shards)),
        "appliance_id": store.appliance_id,
        "clock": Clock(),
    }
    return Resources(**(known | parts))


@contextmanager
def open_appliance(
    data_dir: Path, github: StandInGitHub | None = None, **settings: Any
) -> Iterator[ApplianceUnderTest]:
    """An appliance with a new repository on GitHub's stand-in. Without one, runs can be submitted, not executed."""
    slug = f"acme/shop-{next(_numbers)}"
    redactor, clock = Redactor({"GITHUB_TOKEN": TOKEN}), Clock()
    with ExitStack() as opened:
        client, given = None, settings
        if github is not None:
            github.add_repository(slug)
            github.add_token(TOKEN)
            client = GitHub(Connection(api_url=github.api_url, token=Secret(TOKEN), pauses=(), clock=clock))
            opened.callback(client.close)
            given = {
                "codex_shards": 2,
                "github_token": Secret(TOKEN),
                "github_api_url": github.api_url,
                "github_server_url": github.server_url,
            } | settings
        store = Store.open(data_dir, redact=redactor.redact_text)
        opened.callback(store.close)
        resources = make_resources(store, data_dir, given, github=client, redactor=redactor, clock=clock)
        yield ApplianceUnderTest(resources, github, slug)


def ends(run: Run) -> tuple[RunStatus, str | None]:
    """The run's status and the reason."""
    return run.status, run.failure.code.value if run.failure else None


class InBackground:
    """A worker's thread; a wait for it fails instead of blocking forever."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the worker never let go"


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInGitHub]:
    """The stand-in for GitHub. Each appliance has its own repository on it."""
    with StandInGitHub(("127.0.0.1", 0), tmp_path_factory.mktemp("github")) as made:
        yield made


@pytest.fixture
def appliance(tmp_path: Path, github: StandInGitHub) -> Iterator[ApplianceUnderTest]:
    """An appliance with two shards, both signed in."""
    with open_appliance(tmp_path / "data", github) as made:
        yield made
