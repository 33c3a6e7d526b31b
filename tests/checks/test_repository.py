"""The checks of one repository, on the stand-in."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.checks import Finding
from moonmind_appliance.checks.repository import repository_checks
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import Secret, Settings
from tests.in_container.spec_kit_layouts import of_0_0_60, of_0_3, of_0_9, of_1_1_powershell, write

TOKEN = "ghp_standInToken0123456789abcdefghijklmn"


class Hosted:
    """Repositories on the stand-in, and the findings about them."""

    def __init__(self, github: StandInGitHub, folder: Path) -> None:
        self._github, self._folder = github, folder

    def check(self, files: Mapping[str, str], links: Mapping[str, str] | None = None, **settings: Any) -> list[Finding]:
        source = write(self._folder / "shop", {"README.md": "# Shop\n", **files})
        for link, target in (links or {}).items():
            (source / link).symlink_to(target)
        self._github.add_repository("acme/shop", source)
        return self.look("acme/shop", **settings)

    def look(self, slug: str, *, token: str | None = TOKEN, **settings: Any) -> list[Finding]:
        given = {"github_api_url": self._github.api_url, "github_token": Secret(token) if token else None}
        return list(repository_checks(Settings(**given, **settings), slug))


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    with StandInGitHub(("127.0.0.1", 0), tmp_path / "github") as server:
        server.add_token(TOKEN)
        yield Hosted(server, tmp_path)


@pytest.mark.parametrize(
    ("files", "links", "grade", "said"),
    [
        ({}, {}, "ok", "On main: Spec Kit: the appliance's, because the repository has none."),
        (of_0_3(), {}, "ok", "On main: Spec Kit: the repository's own 0.3.0."),
        (
            {path.replace(".agents", "tools", 1): text for path, text in of_0_3().items()},
            {".agents": "tools"},
            "ok",
            "the repository's own 0.3.0.",
        ),
        (of_0_0_60(), {}, "note", "It has no skills for Codex"),
        (of_1_1_powershell(), {}, "note", "Its scripts are for PowerShell (.specify/init-options.json)"),
        ({}, {".agents": "../common"}, "wrong", ".agents is a link to ../common, outside the repository."),
    ],
    ids=["none", "complete", "behind a link", "without skills", "PowerShell", "a link out of it"],
)
def test_the_spec_kit_of_a_repository_is_reported(
    hosted: Hosted, files: dict[str, str], links: dict[str, str], grade: str, said: str
) -> None:
    """The same choice as the run's, with the reason, before the first run."""
    access, spec_kit, *_ = hosted.check(files, links)
    assert (access.check, access.level) == ("repository acme/shop", "ok")
    assert (spec_kit.check, spec_kit.level) == ("Spec Kit of acme/shop", grade)
    assert said in spec_kit.observed


def test_hooks_and_a_committed_record_are_notes(hosted: Hosted) -> None:
    """They have no effect on a run."""
    findings = hosted.check(of_0_9())
    assert [finding.level for finding in findings] == ["ok", "ok", "note", "note"]
    assert "disabled" in findings[2].observed
    assert len({finding.check for finding in findings}) == 4


def test_the_agent_decides_which_skills_are_needed(hosted: Hosted) -> None:
    """Another agent's integration must be installed."""
    _, spec_kit = hosted.check(of_0_3(), agent_backend="spec-kit:gemini")
    assert "Its integration for gemini is not installed." in spec_kit.observed


def test_a_repository_that_no_run_may_use_is_reported(hosted: Hosted) -> None:
    """The setting allows only other repositories."""
    findings = hosted.check({}, spec_workflow_github_repository=("acme/other",))
    assert [finding.level for finding in findings] == ["ok", "wrong", "ok"]
    assert "SPEC_WORKFLOW_GITHUB_REPOSITORY" in findings[1].observed


@pytest.mark.parametrize("slug", ["acme/none", "acme", "../x"])
def test_a_repository_that_does_not_exist_is_one_finding(hosted: Hosted, slug: str) -> None:
    """Its Spec Kit is not mentioned."""
    (finding,) = hosted.look(slug)
    assert (finding.check, finding.level) == (f"repository {slug}", "wrong")


def test_without_a_token_there_is_nothing_to_add(hosted: Hosted) -> None:
    """Another check reports the missing token."""
    assert hosted.look("acme/shop", token=None) == []


def test_an_empty_repository_has_no_spec_kit(hosted: Hosted, tmp_path: Path) -> None:
    """The finding says that it is empty."""
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty.git"], check=True)
    hosted._github.add_repository("acme/empty", tmp_path / "empty.git")
    (finding,) = hosted.look("acme/empty")
    assert "empty" in finding.observed
