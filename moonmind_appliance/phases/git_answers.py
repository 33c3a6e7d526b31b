"""The results of the Git programs (`in_container/git_*.py`). Paths are as Git reports them, shortened."""

import msgspec
from msgspec import UNSET, UnsetType

from moonmind_appliance.models import LeftOutPath, PathWarning


class Size(msgspec.Struct, frozen=True):
    """A result of `workspace_size.py`: bytes and numbers of files."""

    bytes: int
    files: int
    hidden: int
    free_bytes: int
    free_files: int


class ChosenSpecKit(msgspec.Struct, frozen=True, kw_only=True):
    """The Spec Kit of a run, as `spec_kit.choose` returns it; `problem` says why no run is possible."""

    used: str
    kind: str
    reason: str
    version: str
    templates: dict[str, str]
    constitution: bool
    notes: list[str]
    problem: str


class UsedCache(msgspec.Struct, frozen=True):
    """Whether the clone used the repository's cache, and the bytes that it copied from it."""

    used: bool
    bytes: int


class ClonedRepository(msgspec.Struct, frozen=True):
    """The result of `clone`. `scaffold_files` is the number of Spec Kit files that were added.

    `cache` is None if the run uses none.
    """

    base_commit: str
    scaffold_files: int
    spec_kit: ChosenSpecKit
    cache: UsedCache | None = None


class ChangedFile(msgspec.Struct, frozen=True):
    """A changed file; `status` is Git's letter.

    `added` and `removed` count lines. They are None for a binary file, and unset if the change is too large to count.
    """

    path: str
    status: str
    added: int | UnsetType | None = UNSET
    removed: int | UnsetType | None = UNSET


class StagedChange(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `stage`. The lists are bounded. `protected_count`: how many left-out paths are protected.

    `feature_protected`: one of the feature's documents, or its folder, is among them.

    If `changed` and not `too_large`, a patch of `patch_bytes` bytes follows. `size` is that of the run's volumes.
    """

    base_commit: str
    commit: str
    changed: bool
    too_large: bool = False
    patch_bytes: int
    files: list[ChangedFile]
    file_count: int
    left_out: list[LeftOutPath]
    left_out_count: int
    protected_count: int = 0
    feature_protected: bool = False
    warnings: list[PathWarning] = []
    warning_count: int = 0
    nested_repositories_removed: list[str]
    nested_repository_count: int
    size: Size


class PushAnswer(msgspec.Struct, frozen=True):
    """The result of `push`: the commit that GitHub has.

    `new_base` is its parent if the change was put on another base than the cloned one. Without `pushed`, one of the
    others says why: the branch exists on GitHub at the commit `conflict`, or the base branch no longer exists, or its
    new history also changes the paths `in_the_way`.
    """

    pushed: bool
    commit: str
    new_base: str = ""
    conflict: str = ""
    base_gone: bool = False
    in_the_way: list[str] = []
