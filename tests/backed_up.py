"""A data folder with runs, artifacts, a token and logins, and backups of it."""

import io
import uuid
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.archive import work_folder
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.models import (
    Artifact,
    ArtifactType,
    LoginState,
    PhaseName,
    Run,
    RunStatus,
    Shard,
)
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.runs.backup import Manifest, back_up
from moonmind_appliance.runs.restore import Restored, restore
from moonmind_appliance.store import Store
from tests.fakes import ANN, NOW
from tests.shard_states import save_shard

LOG = b"line 1\nline 2\n"


class Filled(NamedTuple):
    """A data folder. `running` has a log that still grows, `ended` a complete one, `waiting` none."""

    path: Path
    appliance_id: str
    token: str
    running: Run
    ended: Run
    waiting: Run


def filled(path: Path) -> Filled:
    """Fill a new data folder."""
    store = Store.open(path)
    ended = store.runs.insert(run_of("acme/shop"))
    store.queue.claim(0, "L", now=NOW, lease_seconds=60)
    keep(store, path, ended, "specify.log", LOG)
    store.progress.finish(ended.run_id, "L", RunStatus.SUCCEEDED, now=NOW, result_summary="Done.", failure=None)
    running = store.runs.insert(run_of("acme/bar"))
    store.queue.claim(1, "M", now=NOW, lease_seconds=60)
    keep(store, path, running, "plan.log", b"")
    (path / "runs" / running.run_id / "artifacts" / "plan.log").write_bytes(LOG)
    waiting = store.runs.insert(run_of("acme/baz"))
    token = store.tokens.create("ann", operator=False, expires_at=None)
    for number, login in enumerate((LoginState.PRESENT, LoginState.DEAD)):
        save_shard(store, Shard(shard=number, login=login, checked_at=NOW, login_digest="d", account="acct"))
    appliance_id = store.appliance_id
    store.close()
    return Filled(path, appliance_id, token, running, ended, waiting)


def run_of(repository: str) -> Run:
    """A new run."""
    return Run(run_id=str(uuid.uuid4()), repository=repository, specify_text="Add it.", accepted_at=NOW, created_by=ANN)


def keep(store: Store, path: Path, run: Run, name: str, content: bytes) -> None:
    """Save an artifact, on disk and in the database."""
    written = ArtifactFiles(path).write(run.run_id, name, content, Redactor())
    store.artifacts.save(
        Artifact(
            artifact_id=str(uuid.uuid4()),
            run_id=run.run_id,
            name=name,
            artifact_type=ArtifactType.STDOUT_LOG,
            storage_path=written.storage_path,
            content_type="text/plain",
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            source_phase=PhaseName.SPECKIT_PLAN,
            created_at=NOW,
        )
    )


def backup_of(path: Path, work: Path, *, artifacts: bool = False) -> tuple[bytes, Manifest]:
    """A backup, in memory."""
    sink = io.BytesIO()
    work.mkdir(exist_ok=True)
    with work_folder(work) as folder:
        made = back_up(path, sink, folder, artifacts=artifacts, keep_free=0, progress=lambda *_: None)
    return sink.getvalue(), made


def restored(data: bytes, path: Path, *, new_id: bool = True) -> Restored:
    """Restore it; with a new id, as the original still exists."""
    return restore(io.BytesIO(data), path, keep_free=0, new_id=new_id, progress=lambda *_: None)
