"""Programs that an agent plants for git are never executed beside the GitHub token."""

import json

import pytest

from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse

from .conftest import docker, git

pytestmark = [pytest.mark.docker, pytest.mark.image]

SLUG = "journey/hostile"
PLAIN = "journey/submodule-files"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A repository with a submodule that is never checked out."""
    folder = tmp_path_factory.mktemp("hostile")
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "README.md").write_text("# Sample\n")
    (folder / ".gitignore").write_text("specs/\n")
    (folder / ".gitmodules").write_text(
        '[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://example.invalid/lib.git\n'
    )
    git(folder, "add", "--all", "--force")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    git(folder, "-c", "user.name=sample", "-c", "user.email=sample@example.invalid", "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture(scope="module")
def run(environment, caller, source):
    environment.github.add_repository(SLUG, source)
    environment.openai.respond_with(ScriptedResponse(ResponseKind.HOSTILE))
    try:
        return caller.wait(caller.submit(SLUG, "# Dark mode\n\n- Goal: dark colours"))
    finally:
        environment.openai.respond_with(ScriptedResponse())


def run_in_volume(volume, command):
    """Run a shell command with a volume, after the run."""
    image = "moonmind/spec-automation-job:latest"
    return docker("run", "--rm", "--network=none", "--volume", f"{volume}:/look:ro", image, "sh", "-c", command)


def test_no_planted_program_ran_in_the_git_container(run):
    """All marks come from the agent's own container, where they prove that the programs work."""
    assert run["status"] == "succeeded", run["failure"]
    workspace = f"moonmind-run-{run['run_id']}"
    planted = run_in_volume(workspace, f"cat /dev/null; ls /look/{run['run_id']} /look").split()
    hosts = {name.removeprefix("planted-on-") for name in planted if name.startswith("planted-on-")}
    assert len(hosts) == 1
    ran = [name for name in planted if name.startswith("ran-")]
    assert [name for name in ran if not any(name.endswith(host) for host in hosts)] == []
    private = run_in_volume(f"moonmind-git-{run['run_id']}", "find /look -name 'ran-*' -o -name '*evil*'")
    assert private == ""


def test_the_commit_contains_only_allowed_files(environment, run):
    """The feature, although .gitignore names it, and plain files; no link out of the tree, no repository, no .git."""
    bare = environment.github.git_folder(SLUG)
    raw = git(bare, "diff", "--raw", "--no-renames", f"main..{run['branch_name']}").splitlines()
    modes = {line.split("\t")[1]: line.split()[1] for line in raw}
    feature = run["phases"][3]["metadata"]["feature_directory"]
    assert {f"{feature}/{name}.md" for name in ("spec", "plan", "tasks")} <= set(modes)
    assert set(modes.values()) <= {"100644", "100755"}
    outside = [name for name in modes if "outside" in name or ".git/" in name or "evil" in name]
    assert outside == []
    assert not any(name.startswith((".specify/", ".agents/")) for name in modes)


def test_the_submodule_still_points_to_the_same_commit(environment, run):
    """A gitlink never changes, even if the agent created a repository at its path."""
    bare = environment.github.git_folder(SLUG)
    assert git(bare, "ls-tree", run["branch_name"], "vendor/lib").split()[:3] == ["160000", "commit", "1" * 40]


def test_the_commit_status_lists_what_was_left_out(caller, run):
    """Links out of the tree and nested repositories, with the reason."""
    status = json.loads(caller.artifact(run, "commit_status.json"))
    left_out = {entry["path"].rsplit("/", 1)[-1]: entry["reason"] for entry in status["left_out"]}
    assert {name for name in left_out if name.startswith("outside-")} == {
        "outside-file",
        "outside-folder",
        "outside-login",
    }
    assert "nested-repository/.git" in status["nested_repositories_removed"]
    assert status["pushed"] is True


PROTECTED = {
    ".gitattributes",
    "nested-repository/.gitattributes",
    ".github/workflows/evil.yml",
    ".GitHub/Workflows/Evil.yml",
    ".husky/pre-commit",
    "docs/CODEOWNERS",
    ".devcontainer",
}


def test_protected_paths_are_not_pushed_and_reviewers_know(environment, caller, run):
    """Workflows, hooks, attributes and owners, in any spelling: reported in all texts for reviewers and in the API."""
    branch = git(environment.github.git_folder(SLUG), "ls-tree", "-r", "--name-only", run["branch_name"]).splitlines()
    assert PROTECTED.isdisjoint(branch)
    status = json.loads(caller.artifact(run, "commit_status.json"))
    protected = {entry["path"]: entry["reason"] for entry in status["left_out"][: status["protected_count"]]}
    assert set(protected) >= PROTECTED
    assert set(protected.values()) == {"a protected path (PROTECTED_PATHS): not added"}
    assert run["phases"][6]["metadata"]["left_out"] == status["left_out"]
    body = environment.github.pull_requests(SLUG)[0].body
    summary = caller.artifact(run, "diff_summary.md").decode()
    for path in PROTECTED:
        line = f"- `{path}`: a protected path (PROTECTED_PATHS): not added"
        assert line in body
        assert line in summary


def test_the_push_went_to_the_real_remote(environment, run):
    """The remote that the agent configured is ignored."""
    assert git(environment.github.git_folder(SLUG), "rev-parse", run["branch_name"]).strip()
    assert "stolen.invalid" not in " ".join(environment.openai.refused_hosts)
