"""The real git container: its image, its user, its limits, and how phases use its answers."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import ContainerLost
from moonmind_appliance.models import (
    Actor,
    ExecSpec,
    FailureCode,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    ShardNames,
    SpecifyTurn,
    WrittenFeature,
)
from moonmind_appliance.models.container_paths import GIT_CA_FILE
from moonmind_appliance.phases.commands import Tee
from moonmind_appliance.phases.commit_push import commit_push
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_clone import git_clone
from moonmind_appliance.phases.names import Names
from moonmind_appliance.phases.prepared_commands import PreparedCommands
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.phases.start_job_container import git_spec
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import ProxyUrl, Secret, Settings, secrets_of
from tests.appliance_under_test import ScriptedAgent
from tests.github.company_proxy import HOST, PASSWORD, SERVER_URL, USER, CompanyProxy
from tests.in_container.git_fixture import FEATURE, TOKEN, git
from tests.phases.contexts import OnlyToken, RecordedArtifacts, RecordedEvents, UsableLogin

pytestmark = [pytest.mark.docker, pytest.mark.image]

SPEC = f"{FEATURE}/spec.md"


class GitRun:
    """One run's git container, and a repository on a stand-in that it can reach."""

    def __init__(self, engine: DockerEngine, github: StandInGitHub, network: str, **fields: Any) -> None:
        self.engine, self.github = engine, github
        run_id = str(uuid.uuid4())
        self.slug = f"acme/{run_id[:8]}"
        plain = {"github_server_url": github.server_url, "job_network": network, "clone_depth": 10}
        self.settings = Settings(github_token=Secret(TOKEN), **(plain | fields))
        self.run = Run(
            run_id=run_id,
            repository=self.slug,
            specify_text="x",
            accepted_at=datetime(2026, 3, 1, tzinfo=UTC),
            created_by=Actor("local:ann", "ann"),
            phases=[
                Phase(
                    phase=PhaseName.SPECKIT_SPECIFY,
                    status=PhaseStatus.SUCCEEDED,
                    output=SpecifyTurn(feature=WrittenFeature(FEATURE, "Dark mode")),
                )
            ],
        )
        self.artifacts = RecordedArtifacts()
        self.context = PhaseContext(
            run=self.run,
            settings=self.settings,
            names=Names(run_id, f"tests-{run_id}", ShardNames(0, f"tests-{run_id[:8]}-")),
            engine=engine,
            github=OnlyToken(TOKEN),  # type: ignore[arg-type]
            agent=ScriptedAgent(),
            redactor=Redactor(secrets_of(self.settings)),
            artifacts=self.artifacts,
            cancel=CancelToken(),
            login_recorder=UsableLogin(),
            events=RecordedEvents(),
            prepared=PreparedCommands(engine),
        )

    def host(self, folder: Path) -> None:
        self.github.add_repository(self.slug, folder)

    def agent(self, script: str) -> None:
        """Work in the repository as the agent would: the same user, the same volume."""
        output = Tee()
        spec = ExecSpec(command=["bash", "-euc", script], working_dir=self.context.names.repository, time_limit=60)
        ended = self.engine.execute(self.context.names.git, spec, stdout=output, stderr=output)
        assert ended.ok, output.tail

    def clone(self) -> PhaseResult:
        return git_clone(self.context)

    def commit(self) -> PhaseResult:
        return commit_push(self.context, lambda: None)

    def pushed(self) -> dict[str, str]:
        """The paths of the pushed commit with their modes."""
        bare = self.github.git_folder(self.slug)
        raw = git(bare, "diff", "--raw", "-z", "--no-renames", "main", self.context.branch).split(b"\0")
        return {
            path.decode(errors="surrogateescape"): head.split()[1].decode()
            for head, path in zip(raw[::2], raw[1::2], strict=False)
        }


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    made = DockerEngine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def network(engine: DockerEngine) -> Iterator[tuple[str, str]]:
    """A network for these tests, and this machine's address on it."""
    name = f"tests-git-{uuid.uuid4().hex[:8]}"
    yield name, engine.ensure_network(name, {"moonmind.test": name})
    engine.remove_network(name)


@pytest.fixture(scope="module")
def reachable(network: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInGitHub]:
    with StandInGitHub((network[1], 0), tmp_path_factory.mktemp("github")) as made:
        made.add_token(TOKEN)
        yield made


@pytest.fixture
def git_run(engine: DockerEngine, reachable: StandInGitHub, network: tuple[str, str]) -> Iterator[GitRun]:
    with started(GitRun(engine, reachable, network[0])) as made:
        yield made


@contextmanager
def started(made: GitRun) -> Iterator[GitRun]:
    engine = made.engine
    names = made.context.names
    for volume in (names.workspace_volume, names.git_volume):
        engine.ensure_volume(volume, names.labels("test"))
    try:
        engine.start(git_spec(made.context))
        if made.settings.extra_ca_certs:
            engine.put_file(names.git, GIT_CA_FILE, made.settings.extra_ca_certs.read_bytes())
        yield made
    finally:
        made.context.prepared.close()
        engine.remove(names.git)
        for volume in (names.workspace_volume, names.git_volume):
            engine.remove_volume(volume)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with fragile contents: encodings, line ends, a submodule, a link, a program."""
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "wide.txt").write_text("grüße\n", encoding="utf-8")
    (folder / "kyrillic.txt").write_text("привет\n", encoding="utf-8")
    (folder / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("run.sh")
    git(folder, "add", "--all")
    (folder / ".gitattributes").write_text(
        "wide.txt text working-tree-encoding=UTF-16LE-BOM\nkyrillic.txt text working-tree-encoding=KOI8-R\n"
        "crlf.txt text\n"
    )
    (folder / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = https://example.invalid/lib\n')
    git(folder, "add", "--all")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_a_hostile_tree_becomes_a_plain_commit_and_is_pushed(git_run: GitRun, source: Path) -> None:
    """As user 1000 on a read-only root: sealed folders, pipes, nested repositories, encodings."""
    git_run.host(source)
    assert git_run.clone().failure is None
    git_run.agent(
        f"mkdir -p {FEATURE}; echo '# Dark mode' > {FEATURE}/spec.md;"
        "head -c 2 wide.txt | od -An -tx1 | grep -q 'ff fe';"
        "cp wide.txt copy; mv copy wide.txt; touch crlf.txt kyrillic.txt;"
        "mkdir sealed; echo 1 > sealed/a; chmod 0 sealed; echo 2 > unreadable; chmod 0 unreadable;"
        "mkfifo pipe; ln -s /work/git/clone.git out; git init -q nested; echo 3 > nested/b; chmod 0555 nested;"
        "mkdir -p deep/git~1"
    )
    result = git_run.commit()
    assert result.failure is None
    assert git_run.pushed() == {SPEC: "100644", "sealed/a": "100644", "unreadable": "100644", "nested/b": "100644"}
    assert result.metadata["nested_repositories_removed"] == ["deep/git~1", "nested/.git"]
    assert {entry["path"] for entry in result.metadata["left_out"]} == {"out", "pipe"}
    assert set(git_run.artifacts.files) == {
        "credential_audit.json",
        "diff_summary.md",
        "change.patch",
        "commit_status.json",
    }


def test_clone_and_commit_can_be_repeated(git_run: GitRun, source: Path) -> None:
    """A second attempt makes the same commit, and the branch counts as pushed."""
    git_run.host(source)
    git_run.clone()
    git_run.agent("mkdir -p mod/cache; echo x > mod/cache/f; chmod -R a-w mod")
    git_run.clone()
    git_run.agent(f"mkdir -p {FEATURE}; echo '# Dark mode' > {FEATURE}/spec.md")
    first, second = git_run.commit(), git_run.commit()
    assert (first.failure, second.failure) == (None, None)
    assert first.metadata["commit"] == second.metadata["commit"]
    assert git_run.pushed() == {SPEC: "100644"}


def test_the_token_is_in_no_argument_setting_or_file(git_run: GitRun, source: Path) -> None:
    """Neither in an argument, nor in the container's settings, nor in its volumes."""
    git_run.host(source)
    git_run.clone()
    git_run.agent(f"mkdir -p {FEATURE}; echo '# Dark mode' > {FEATURE}/spec.md")
    git_run.commit()
    names = git_run.context.names
    inspected = subprocess.run(["docker", "inspect", names.git], capture_output=True, text=True, check=True).stdout
    assert "gitFixtureToken" not in inspected
    found = Tee()
    search = "grep -rl -e gitFixtureToken -e eC1hY2Nlc3MtdG9rZW4 /work 2>/dev/null; true"
    git_run.engine.execute(names.git, ExecSpec(command=["sh", "-c", search]), stdout=found, stderr=found)
    assert found.tail == b""


def test_a_secret_is_reported_by_file_and_line(git_run: GitRun, source: Path) -> None:
    """Also if the file's name must be quoted; nothing is pushed."""
    git_run.host(source)
    git_run.clone()
    git_run.agent(f"mkdir -p {FEATURE}; printf 'a\\nb\\nkey {TOKEN}\\n' > {FEATURE}/'grüße \"x\".md'")
    result = git_run.commit()
    assert result.failure is not None
    assert result.failure.code is FailureCode.SECRET_IN_CHANGE
    assert f'{FEATURE}/grüße "x".md line 3' in result.failure.message
    assert TOKEN.encode() not in b"".join(git_run.artifacts.files.values())
    assert "change.patch" not in git_run.artifacts.files


def test_a_wrong_token_has_its_code(git_run: GitRun, source: Path) -> None:
    """Git reports that GitHub refused the token."""
    git_run.host(source)
    git_run.github.remove_token(TOKEN)
    try:
        result = git_run.clone()
    finally:
        git_run.github.add_token(TOKEN)
    assert result.failure is not None
    assert result.failure.code is FailureCode.GITHUB_TOKEN_REJECTED


def test_a_container_that_ended_is_no_failure_of_git(git_run: GitRun, source: Path) -> None:
    """It has an error of its own, after which the run starts again."""
    git_run.host(source)
    git_run.engine.kill(git_run.context.names.git)
    with pytest.raises(ContainerLost, match="ended during git clone"):
        git_run.clone()


@pytest.fixture
def proxy(reachable: StandInGitHub, network: tuple[str, str], tmp_path: Path) -> Iterator[CompanyProxy]:
    with CompanyProxy(network[1], reachable.server_url, tmp_path) as made:
        (tmp_path / "ca.pem").write_bytes(made.ca_pem)
        yield made


def behind(proxy: CompanyProxy, url: str, engine: DockerEngine, github: StandInGitHub, network: str) -> GitRun:
    """A run whose GitHub has a name that only the proxy knows."""
    ca_file = proxy.folder / "ca.pem"
    return GitRun(
        engine,
        github,
        network,
        github_server_url=SERVER_URL,
        github_https_proxy=ProxyUrl(url),
        github_no_proxy="other.example",
        extra_ca_certs=ca_file,
    )


def test_git_clones_and_pushes_through_the_proxy(
    engine: DockerEngine, reachable: StandInGitHub, network: tuple[str, str], proxy: CompanyProxy, source: Path
) -> None:
    """Its password is in no argument, setting, file, log or artifact, and it never gets the GitHub token."""
    with started(behind(proxy, proxy.url_with_login, engine, reachable, network[0])) as run:
        run.host(source)
        assert run.clone().failure is None
        run.agent(f"mkdir -p {FEATURE}; echo '# Dark mode' > {FEATURE}/spec.md")
        result = run.commit()
        assert result.failure is None
        assert run.pushed() == {SPEC: "100644"}
        assert set(proxy.connects) == {f"{HOST}:443"}
        assert not any("\nauthorization:" in head for head in proxy.heads)
        word = quote(PASSWORD, safe="")
        inspected = subprocess.run(["docker", "inspect", run.context.names.git], capture_output=True, check=True).stdout
        assert word.encode() not in inspected
        found = Tee()
        search = f"grep -rlF -e '{word}' -e '{PASSWORD}' /work 2>/dev/null; true"
        engine.execute(run.context.names.git, ExecSpec(command=["sh", "-c", search]), stdout=found, stderr=found)
        assert found.tail == b""
        kept = b"".join(run.artifacts.files.values())
        assert not any(form in kept for form in (word.encode(), PASSWORD.encode()))


def test_a_proxy_that_rejects_git_has_its_code(
    engine: DockerEngine, reachable: StandInGitHub, network: tuple[str, str], proxy: CompanyProxy, source: Path
) -> None:
    """With the job image's git; the message names the proxy, and no password."""
    url = proxy.url.replace("://", f"://{USER}:wrong-password@")
    with started(behind(proxy, url, engine, reachable, network[0])) as run:
        run.host(source)
        failure = run.clone().failure
    assert failure is not None
    assert failure.code is FailureCode.GITHUB_PROXY_FAILED
    assert failure.message == (
        f"git failed to clone {run.slug}. The proxy {proxy.url} requires a user and a password, or rejected them "
        "(HTTP 407)."
    )
    assert set(proxy.statuses) == {407}
