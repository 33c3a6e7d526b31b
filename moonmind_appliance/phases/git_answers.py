"""What the verbs of `in_container/git_container.py` answer. Paths are as Git has them, shortened."""

import msgspec
from msgspec import UNSET, UnsetType

from moonmind_appliance.models import LeftOutPath


class ClonedRepository(msgspec.Struct, frozen=True):
    """Of `clone`. `scaffold_files`: how many Spec Kit files were added; `scaffold_folders` only Spec Kit has."""

    base_commit: str
    scaffold_files: int
    scaffold_folders: list[str]


class ChangedFile(msgspec.Struct, frozen=True):
    """A changed file; `status` is Git's letter.

    `added` and `removed` count lines. They are None for a binary file, and unset if the change is too large to count.
    """

    path: str
    status: str
    added: int | UnsetType | None = UNSET
    removed: int | UnsetType | None = UNSET


class StagedChange(msgspec.Struct, frozen=True, kw_only=True):
    """Of `stage`. If `changed` and not `too_large`, a patch of `patch_bytes` bytes follows. The lists are bounded."""

    base_commit: str
    commit: str
    changed: bool
    too_large: bool = False
    patch_bytes: int
    files: list[ChangedFile]
    file_count: int
    left_out: list[LeftOutPath]
    left_out_count: int
    nested_repositories_removed: list[str]
    nested_repository_count: int


class PushAnswer(msgspec.Struct, frozen=True):
    """Of `push`. Without `pushed`, the branch exists on GitHub at the commit `conflict`."""

    pushed: bool
    commit: str
    conflict: str = ""
