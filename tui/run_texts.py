"""Reads the texts of a run: its input and what it wrote; saves a text to a file."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import ApplianceError, NotFound, StoreError
from moonmind_appliance.models import Actor
from moonmind_appliance.resources import Resources
from moonmind_appliance.views.run_detail import ArtifactSummary, RunDetail, specification
from tui.patch import read_patch

PATCH = "change.patch"
SUMMARY = "diff_summary.md"


class RunTexts(NamedTuple):
    """The patch and its summary; the documents of Spec Kit, None if they were not written; the submitted text."""

    patch: bytes
    diff_summary: str
    submitted: str
    spec: str | None
    plan: str | None
    tasks: str | None

    def document(self, name: str) -> str | None:
        """That one of `spec`, `plan` and `tasks`; the submitted text until there is a `spec`; None if there is none."""
        spec = self.submitted if self.spec is None else self.spec
        return {"spec": spec, "plan": self.plan, "tasks": self.tasks}.get(name)


def read_texts(resources: Resources, actor: Actor, run: RunDetail) -> RunTexts:
    """Read the texts from disk.

    Raises:
        NotFound: the run was deleted.
        StoreError: a file cannot be read.
    """
    patch = _content(resources.files, run, PATCH)
    read = read_patch(patch)
    return RunTexts(
        patch,
        _content(resources.files, run, SUMMARY).decode(errors="replace"),
        specification(resources.store, actor, run.run_id),
        *(read.added_text(name) for name in ("spec.md", "plan.md", "tasks.md")),
    )


def text_artifacts(run: RunDetail) -> list[tuple[str, int]]:
    """The artifacts that `read_texts` depends on: if they change, read again."""
    return [
        (artifact.artifact_id, artifact.size_bytes) for artifact in run.artifacts if artifact.name in {PATCH, SUMMARY}
    ]


def _content(files: ArtifactFiles, run: RunDetail, name: str) -> bytes:
    for artifact in run.artifacts:
        if artifact.name == name:
            try:
                return files.path(artifact.storage_path).read_bytes()
            except NotFound:
                return b""
            except OSError as error:
                raise StoreError(f"The artifact {name} cannot be read: {error.strerror}.") from error
    return b""


def artifact_path(files: ArtifactFiles, artifact: ArtifactSummary) -> Path:
    """The path of the artifact.

    Raises:
        NotFound: it was deleted.
    """
    return files.path(artifact.storage_path)


class SaveFailed(ApplianceError):
    """A file could not be saved at the requested path."""


def save(source: Path | bytes, target: str, folder: Path) -> Path:
    """Save a copy; returns its path. An existing file is not replaced.

    Args:
        source: a file, or the bytes to write.
        target: as typed: relative to `folder`, `~` is the home folder; a folder is refused.
        folder: the current folder.

    Raises:
        SaveFailed: the file cannot be written.
    """
    path = folder / Path(target.strip()).expanduser()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    if path.is_dir():
        raise SaveFailed(f"{path} is a folder.", hint="Give a file name.")
    try:
        if isinstance(source, bytes):
            part.write_bytes(source)
        else:
            shutil.copyfile(source, part)
        # A link fails if the file exists; a rename would replace it.
        os.link(part, path)
    except FileExistsError:
        raise SaveFailed(f"{path} exists.", hint="Give another name.") from None
    except OSError as error:
        raise SaveFailed(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return path
