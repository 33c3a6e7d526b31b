"""Passes the feature's folder to a turn, and finds the folder after a turn of `specify`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from moonmind_appliance.in_container.feature_folder import FolderSearch, write_record


class FeatureTurn:
    """Around one turn: `directory` and `problem` are final after the `with` block.

    Args:
        repository: the work tree.
        directory: the folder that an earlier turn wrote; None for `specify`, which writes one.
    """

    def __init__(self, repository: Path, directory: str | None) -> None:
        self._repository = repository
        self._search: FolderSearch | None = None
        self.directory = directory
        self.problem = ""

    def __enter__(self) -> Self:
        if self.directory is None:
            self._search = FolderSearch(self._repository)
        else:
            write_record(self._repository, self.directory)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._search is not None:
            found = self._search.result()
            self.directory, self.problem = found["directory"], found["problem"]
