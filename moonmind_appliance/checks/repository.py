"""Checks of one repository: the token's access to it, and which Spec Kit a run there would use."""

from collections.abc import Iterator
from contextlib import ExitStack

import msgspec

from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.checks.finding import Finding, Level, note, ok, wrong
from moonmind_appliance.checks.github_access import repository_access
from moonmind_appliance.checks.github_app import AppInstallations, is_wrong
from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHub, GitHubApp, KnownTokens, TreeEntry
from moonmind_appliance.in_container.spec_kit import choose
from moonmind_appliance.models import FAILURES, FailureCode
from moonmind_appliance.phases.git_answers import ChosenSpecKit
from moonmind_appliance.phases.spec_kit_choice import choice_of, sentence
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings

_TIMEOUT = 20.0
_KINDS = {"040000": "folder", "120000": "link", "160000": ""}
_LARGEST_FILE = 1024 * 1024


class GitHubTree:
    """A commit on GitHub as a `Tree`; reads each folder and file once, when it is needed. Raises `GitHubError`."""

    def __init__(self, github: GitHub, slug: str, commit: str) -> None:
        self._github = github
        self._slug = slug
        self._folders: dict[str, dict[str, TreeEntry]] = {}
        self._texts: dict[str, str] = {}
        self._commit = commit

    def kind(self, path: str) -> str:
        """`file`, `folder`, `link` or ""."""
        if path == ".":
            return "folder"
        entry = self._entry(path)
        return "" if entry is None else _KINDS.get(entry.mode, "file")

    def names(self, path: str) -> list[str]:
        """The names in a folder."""
        return sorted(self._folder(path)) if self.kind(path) == "folder" else []

    def text(self, path: str) -> str:
        """A file's text, or a link's target."""
        entry = self._entry(path)
        if entry is None or self.kind(path) not in ("file", "link"):
            return ""
        if entry.sha not in self._texts:
            content = self._github.blob(self._slug, entry.sha)
            self._texts[entry.sha] = content.decode(errors="replace") if len(content) <= _LARGEST_FILE else ""
        return self._texts[entry.sha]

    def _entry(self, path: str) -> TreeEntry | None:
        folder, _, name = path.rpartition("/")
        if folder and self.kind(folder) != "folder":
            return None
        return self._folder(folder or ".").get(name)

    def _folder(self, path: str) -> dict[str, TreeEntry]:
        if path not in self._folders:
            entry = None if path == "." else self._entry(path)
            found = self._github.folder(self._slug, entry.sha if entry else self._commit)
            self._folders[path] = {name.path: name for name in found}
        return self._folders[path]


def repository_checks(settings: Settings, slug: str, known: KnownTokens | None = None) -> Iterator[Finding]:
    """The findings about one repository, one by one. The settings need not allow the repository.

    `known` gets each token of a GitHub App before it is used.

    Raises:
        SettingsError: the token cannot be sent, or a CA file cannot be used.
        OSError: a CA file cannot be read.
    """
    with ExitStack() as opened:
        app = GitHubApp.of(settings, timeout=_TIMEOUT, pauses=(), known=known)
        if app is not None:
            opened.callback(app.close)
            installed = list(AppInstallations(app, settings)(slug))
            yield from installed
            if any(map(is_wrong, installed)):
                return
        github = GitHub.of(settings, timeout=_TIMEOUT, pauses=()) if app is None else app.client(slug)
        if github is None:
            # Another check reports the missing token.
            return
        opened.callback(github.close)
        opened.callback(github.tokens.end)
        access = repository_access(github, slug)
        yield access
        allowed = settings.spec_workflow_github_repository
        if allowed and slug.lower() not in {name.lower() for name in allowed}:
            yield wrong(
                f"permission for {slug}",
                "SPEC_WORKFLOW_GITHUB_REPOSITORY does not contain it.",
                "Add it to the setting, and restart `serve`.",
            )
        # The files of an archived or read-only repository can still be read.
        yield from _spec_kit(github, slug, agent_of(settings).integration, access)


def _spec_kit(github: GitHub, slug: str, integration: str, access: Finding) -> Iterator[Finding]:
    check = f"Spec Kit of {slug}"
    try:
        found = github.repository(slug)
        head = github.branch_head(found.full_name, found.default_branch)
        if head is None:
            return
        chosen = msgspec.convert(choose(GitHubTree(github, found.full_name, head), integration), ChosenSpecKit)
    except GitHubError as error:
        if access.level is not Level.WRONG:
            yield note(check, f"The repository's files could not be read: {error.message}", "Read GitHub's message.")
        return
    choice = choice_of(chosen, Redactor())
    if chosen.problem:
        yield wrong(check, choice.reason, FAILURES[FailureCode.SPEC_KIT_UNUSABLE].next_step)
        return
    observed = f"On {found.default_branch}: {sentence(choice)}"
    if choice.used == "repository" or choice.kind == "none":
        yield ok(check, observed)
    else:
        yield note(check, observed, "A run restores the repository's own files before the commit.")
    for number, text in enumerate(choice.notes, 1):
        yield note(f"{check}, note {number}", text)
