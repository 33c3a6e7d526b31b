"""The patterns of the paths that are protected by default. `protected_paths.py` says what a pattern matches."""

from collections.abc import Iterable

DEFAULT_WORD, NONE_WORD = "default", "none"
"""Keywords of the setting, for the patterns of `DEFAULT`, and for no protected path."""

LONGEST_PATTERN, MOST_PATTERNS = 200, 1000

# What a server executes when a branch is pushed.
_CI = (
    *(".github/workflows/**", ".github/actions/**", "action.yml", "action.yaml"),
    *("*.gitlab-ci.yml", ".gitlab-ci/", ".gitlab/ci/**", ".circleci/", "Jenkinsfile", "Jenkinsfile.*"),
    *("*.jenkinsfile", "azure-pipelines*", ".azure-pipelines/", ".azuredevops/", ".travis.yml", ".drone.*"),
    *(".drone/", ".woodpecker*", ".buildkite/", "bitbucket-pipelines.yml", "appveyor.yml", ".appveyor.yml"),
    *(".cirrus.yml", ".cirrus.star", ".semaphore/", ".gitea/", ".forgejo/", ".teamcity/", ".tekton/", ".builds/"),
    *(".build.yml", "bitrise.yml", "codemagic.yaml", "codeship-services.yml", "codeship-steps.yml"),
    *("cloudbuild.yaml", "cloudbuild.yml", "cloudbuild.json", "buildspec.yml", "buildspec.yaml", ".harness/"),
    *(".zuul.yaml", "zuul.yaml", ".zuul.d/", "zuul.d/", "screwdriver.yaml", "wercker.yml", ".prow.yaml", ".prow/"),
)
# What a hosting service builds and shows for each branch.
_HOSTING = (
    *("netlify.toml", "vercel.json", "amplify.yml", "render.yaml", ".readthedocs.yml", ".readthedocs.yaml"),
    *("heroku.yml", ".platform.app.yaml", ".upsun/"),
)
# What Git reads when the branch is checked out, and its hooks.
_GIT = (
    *(".gitattributes", ".gitmodules", ".gitconfig", ".lfsconfig", ".husky/", ".huskyrc", ".huskyrc.*"),
    *(".githooks/", ".git-hooks/", ".pre-commit-config.yaml", ".pre-commit-hooks.yaml", "lefthook.*"),
    *(".lefthook.*", "lefthook-local.*", ".lefthook-local.*", ".lefthook/", ".lefthook-local/", ".lintstagedrc"),
    *(".lintstagedrc.*", "lint-staged.config.*", ".simple-git-hooks.*", "simple-git-hooks.*", ".overcommit.yml"),
    *("captainhook.json", "grumphp.yml"),
)
# Who must review a change.
_OWNERS = ("/CODEOWNERS", "/.github/CODEOWNERS", "/docs/CODEOWNERS", "/.gitlab/CODEOWNERS")
# What an editor, a shell or a development container executes when the branch is opened.
_EDITORS = (
    *(".vscode/", "*.code-workspace", ".idea/", ".fleet/", ".zed/", ".vs/", ".devcontainer/", ".devcontainer.json"),
    *(".gitpod.yml", ".idx/", ".envrc", ".mise.toml", "mise.toml", ".exrc", ".nvimrc", ".nvim.lua"),
    *(".dir-locals.el", ".dir-locals-2.el", "*.sublime-project"),
)
# Programs that coding agents start. Their instructions and skills are not protected: Spec Kit writes some.
_AGENTS = (
    *(".mcp.json", "**/.claude/settings.json", "**/.claude/settings.local.json", "**/.claude/hooks/**"),
    *("**/.codex/config.toml", "**/.codex/hooks.json", "**/.codex/rules/**", "**/.cursor/mcp.json"),
    *("**/.cursor/hooks.json", "**/.cursor/environment.json", "**/.gemini/settings.json"),
)
DEFAULT = (*_CI, *_HOSTING, *_GIT, *_OWNERS, *_EDITORS, *_AGENTS)


def pattern_problem(pattern: str) -> str:
    """Why a text is not a pattern, as the end of a sentence; "" if it is one."""
    parts = pattern.removeprefix("!").removeprefix("/").removesuffix("/").split("/")
    if len(pattern) > LONGEST_PATTERN:
        return f"is longer than {LONGEST_PATTERN} characters"
    if "\\" in pattern or any(part in ("", ".", "..") for part in parts):
        return r"has a backslash, or an empty, `.` or `..` component"
    if all(not part.strip("*") for part in parts):
        return "matches every path"
    return ""


def patterns_of(words: Iterable[str]) -> tuple[str, ...]:
    """The patterns, with the setting's keywords replaced."""
    expanded = ((word,) if word != DEFAULT_WORD else DEFAULT for word in words if word != NONE_WORD)
    return tuple(dict.fromkeys(pattern for some in expanded for pattern in some))
