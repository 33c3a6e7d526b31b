"""Runs in repositories that bring their own Spec Kit: the real Codex and Git, the repositories' own scripts."""

import pytest

from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from tests.in_container.spec_kit_layouts import of_0_0_60, of_0_3, of_0_9, write

from .conftest import git

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: dark colours\n"


@pytest.fixture(scope="module")
def complete(environment, caller, tmp_path_factory):
    """Submits a run in a repository with these files, and returns the ended run and its commit's paths."""

    def run(name, files, response, links=()):
        folder = tmp_path_factory.mktemp(name)
        write(folder, {"README.md": "# Shop\n", **files})
        for link, target in links:
            (folder / link).parent.mkdir(parents=True, exist_ok=True)
            (folder / link).symlink_to(target)
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all", "--force")
        identity = ("-c", "user.name=sample", "-c", "user.email=sample@example.invalid")
        git(folder, *identity, "commit", "--quiet", "-m", "first")
        slug = f"journey/{name}"
        environment.github.add_repository(slug, folder)
        environment.openai.respond_with(response)
        ended = caller.wait(caller.submit(slug, TEXT))
        paths = []
        if ended["status"] == "succeeded":
            bare = environment.github.git_folder(slug)
            listed = git(bare, "-c", "core.quotePath=false", "diff", "--name-only", f"main..{ended['branch_name']}")
            paths = listed.splitlines()
        return ended, paths, environment.github.pull_requests(slug)

    return run


def phase(run, name):
    return next(entry for entry in run["phases"] if entry["phase"] == name)


def test_a_repositorys_own_script_without_a_record(complete):
    """0.3's setup-plan.sh refuses the run's branch, but takes the feature from the variable that Codex's tools get.

    The skills are behind a link inside the repository.
    """
    files = {path.replace(".agents/", ".claude/", 1): text for path, text in of_0_3().items()}
    create = ".specify/scripts/bash/create-new-feature.sh"
    files[create] = files[create].replace("git checkout", "true git checkout")
    files[".specify/scripts/bash/check-prerequisites.sh"] = files[".specify/scripts/bash/setup-plan.sh"].replace(
        "cp .specify/templates", "true .specify/templates"
    )
    links = [(".agents/skills", "../.claude/skills")]
    run, paths, pulls = complete("own-script", files, ScriptedResponse(ResponseKind.OWN_SCRIPT), links)
    assert run["status"] == "succeeded", run["failure"]
    assert {"specs/001-dark-mode/spec.md", "specs/001-dark-mode/plan.md", "specs/001-dark-mode/tasks.md"} <= set(paths)
    assert all(path.startswith("specs/001-dark-mode/") for path in paths)
    assert phase(run, "git_clone")["metadata"]["spec_kit"]["used"] == "repository"
    assert "Spec Kit: the repository's own 0.3.0." in pulls[0].body.replace("\\", "")


def test_a_feature_in_another_folder_with_any_name(complete):
    """0.0.60 for Copilot: the image's Spec Kit, no record, and a Unicode name; the repository's own files stay."""
    folder = "docs/specs/001-größe-用户登录"
    run, paths, pulls = complete("other-folder", of_0_0_60(), ScriptedResponse(ResponseKind.UNRECORDED, folder=folder))
    assert run["status"] == "succeeded", run["failure"]
    assert {f"{folder}/spec.md", f"{folder}/plan.md", f"{folder}/tasks.md"} <= set(paths)
    assert all(path.startswith(f"{folder}/") for path in paths)
    body = pulls[0].body.replace("\\", "")
    assert f"| `{folder}/plan.md` |" in body
    assert "the appliance's, not the repository's own. It has no skills for Codex" in body


def test_an_agent_that_only_talks_fails_at_once(complete):
    """Although the repository has a complete feature and a committed record of it; one model turn is used."""
    run, _, pulls = complete("only-talks", of_0_9(), ScriptedResponse(ResponseKind.ONLY_TALKS))
    assert (run["status"], run["failure"]["code"]) == ("failed", "phase_output_missing")
    assert "wrote no specification: no spec.md is new or changed." in run["failure"]["message"]
    assert [phase(run, name)["status"] for name in ("speckit_plan", "open_pr")] == ["pending", "pending"]
    assert pulls == []
