"""What a phase passes to later code. `Phase.metadata` is for people; no code reads it.

The database stores an output as JSON and decodes it by the phase's name, so a new field needs a default value.
"""

import msgspec


class PhaseOutput(msgspec.Struct, frozen=True):
    """What all outputs have in common: nothing."""


class PreparedJob(PhaseOutput, frozen=True):
    """The output of `prepare_job`.

    `repository` is the current "owner/name": GitHub redirects after a rename. `repository_id` is GitHub's number of it,
    0 if it was not recorded.
    """

    repository: str
    repository_id: int = 0


class SpecKitChoice(PhaseOutput, frozen=True):
    """The output of `git_clone`: which Spec Kit the run uses.

    `used` is `repository` or `image`; `reason` says why, in one sentence. `version` is that of the repository's files,
    "" if it is unknown or there are none. `templates` are those of the repository that the image's skills fill.
    `constitution`: the repository has one, which the run uses in either case. The texts come from the repository, so
    they are untrusted.
    """

    used: str
    kind: str
    reason: str
    version: str = ""
    templates: list[str] = []
    constitution: bool = False
    notes: list[str] = []


class StartedContainers(PhaseOutput, frozen=True):
    """The output of `start_job_container`, for the attempt that started them.

    `volumes_are_new`: at least one of the run's volumes was created, so the files of earlier phases do not exist.
    """

    volumes_are_new: bool


class AgentTurn(PhaseOutput, frozen=True):
    """The output of `speckit_plan` and `speckit_tasks`. `usage` maps the agent's own counters to numbers of tokens."""

    usage: dict[str, int] = {}


class WrittenFeature(msgspec.Struct, frozen=True):
    """The feature that `specify` wrote. `directory` is relative to the repository; `assumptions` is Markdown.

    The agent wrote all of it, so it is untrusted; secrets in `title` and `assumptions` are redacted.
    `title` is None if the specification has no heading. `question_count` is the number of all open questions; the run's
    row contains the first ones. 0 if they were not counted.
    """

    directory: str
    title: str | None = None
    assumptions: str = ""
    question_count: int = 0


class SpecifyTurn(AgentTurn, frozen=True):
    """The output of `speckit_specify`. `feature` is None if the phase failed."""

    feature: WrittenFeature | None = None


class LeftOutPath(msgspec.Struct, frozen=True):
    """A path of the work tree that is not in the commit, and why."""

    path: str
    reason: str


class PathWarning(msgspec.Struct, frozen=True):
    """A path in the commit that reviewers should check, and why."""

    path: str
    reason: str


class CommittedChange(PhaseOutput, frozen=True):
    """The output of `commit_push`, if it succeeded.

    `dry_run`: the commit was not pushed. `no_changes`: why there is nothing to publish; None if there is a commit.
    `paths`, `left_out` and `warnings` are bounded; `path_count`, `left_out_count` and `warning_count` count all
    entries, and are 0 if the count was not recorded. `branch` is the run's branch from now on. `github_messages` are
    what GitHub printed when it accepted the push.
    """

    dry_run: bool
    no_changes: str | None = None
    paths: list[str] = []
    path_count: int = 0
    left_out: list[LeftOutPath] = []
    left_out_count: int = 0
    branch: str = ""
    github_messages: list[str] = []
    warnings: list[PathWarning] = []
    warning_count: int = 0


class OpenedPullRequest(PhaseOutput, frozen=True):
    """The output of `open_pr`, unless it was skipped. `how` says how the pull request was opened or found."""

    how: str
