"""Access on the data folder: the API's verbs for users who can write its files, as operator.

Reading opens the database only. The verbs that change something are in `direct_changes.py`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.cli.runs.access import RunEvent
from moonmind_appliance.cli.system_user import system_actor
from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import Artifact, RunStatus
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.settings import Settings, secrets_of
from moonmind_appliance.store import Store, Watch
from moonmind_appliance.views.drain_view import DrainView, drain_view
from moonmind_appliance.views.run_detail import ArtifactDetail, RunDetail, artifact_detail, run_detail
from moonmind_appliance.views.run_summary import RunAccepted, RunFilter, RunPage, find_run, run_page
from moonmind_appliance.views.run_tail import Position, RunTail
from moonmind_appliance.views.shard_view import ShardView, WaitingRun, shard_views, waiting_runs

if TYPE_CHECKING:
    # Their imports load huey, the clients of the engine and GitHub, and the redactor's patterns: reading needs none.
    from moonmind_appliance.cli.runs.direct_changes import Changes
    from moonmind_appliance.redaction import Redactor
    from moonmind_appliance.runs.submit import SubmitRequest

_POLL_SECONDS = 0.25
_CHUNK = 256 * 1024


class Direct:
    """A `RunAccess` on the database. `on_message` receives messages for the user."""

    def __init__(self, settings: Settings, *, on_message: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._opened = ExitStack()
        self._settings, self._files = settings, ArtifactFiles(settings.moonmind_data_dir)
        self._store = Store.open(settings.moonmind_data_dir, redact=self._redact)
        self._opened.callback(self._store.close)
        # SQLite reads on from a removed file: a command that follows a run would wait for ever.
        self._watch = self._opened.enter_context(Watch(self._store.database))
        self._actor = system_actor()

    def submit(self, request: "SubmitRequest", idempotency_key: str | None) -> RunAccepted:
        """Save a run, and wake a shard."""
        return self._changes.submit(request, idempotency_key)

    def page(
        self,
        *,
        status: RunStatus | None = None,
        repository: str | None = None,
        external_ref: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """A page of all runs."""
        wanted = RunFilter(
            statuses=frozenset() if status is None else frozenset({status}),
            repository=repository,
            external_ref=external_ref,
        )
        return run_page(self._store, wanted, limit=limit, cursor=cursor)

    def find(self, name: str) -> str:
        """The whole id of the run with that name."""
        return find_run(self._store, self._actor, name)

    def detail(self, run_id: str) -> RunDetail:
        """The run with its phases and artifacts."""
        self._watch.changed()
        return run_detail(self._store, self._actor, run_id)

    def cancel(self, run_id: str) -> RunAccepted:
        """Cancel a run."""
        return self._changes.cancel(run_id)

    def retry(self, run_id: str) -> RunAccepted:
        """Queue the run again, and wake a shard."""
        return self._changes.retry(run_id)

    def artifact(self, run_id: str, artifact_id: str) -> ArtifactDetail:
        """The facts of one artifact."""
        found = self._artifact(run_id, artifact_id)
        return artifact_detail(found, self._files.path(found.storage_path).as_uri())

    def content(self, run_id: str, artifact_id: str) -> Iterator[bytes]:
        """The file's bytes."""
        path = self._files.path(self._artifact(run_id, artifact_id).storage_path)
        try:
            with path.open("rb") as file:
                while data := file.read(_CHUNK):
                    yield data
        except FileNotFoundError:
            raise NotFound("The artifact's file no longer exists.", code="artifact_gone") from None

    def events(self, run_id: str) -> Iterator[RunEvent]:
        """The same events as the API's stream."""
        tail = RunTail(self._store, self._files, visible_run(self._store, self._actor, run_id).run_id, Position())
        while not tail.ended:
            self._watch.changed()
            messages = tail.read()
            for message in messages:
                yield RunEvent(message.name, _json(message.data))
            if not messages and not tail.ended:
                time.sleep(_POLL_SECONDS)

    def shards(self) -> list[ShardView]:
        """All shards, by number."""
        return shard_views(self._store, self._settings, now=datetime.now(UTC))

    def drain_state(self) -> DrainView:
        """Whether the appliance is drained, and what still runs."""
        self._watch.changed()
        return drain_view(self._store, now=datetime.now(UTC))

    def drain(self) -> DrainView:
        """Start no more runs."""
        self._changes.drain()
        return self.drain_state()

    def resume(self) -> DrainView:
        """Start runs again."""
        self._changes.resume()
        return self.drain_state()

    def waiting(self) -> list[WaitingRun]:
        """The queued runs, oldest first."""
        return waiting_runs(self._store)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def _artifact(self, run_id: str, artifact_id: str) -> Artifact:
        found = self._store.artifacts.get(run_id, artifact_id)
        if found is None:
            raise NotFound(f"Run {run_id} has no artifact {artifact_id}.", code="artifact_not_found")
        return found

    def _redact(self, text: str) -> str:
        """Reading writes only to migrate the database, and to replace the row of a shard that cannot be read."""
        return self._redactor.redact_text(text)

    @cached_property
    def _redactor(self) -> "Redactor":
        # See the imports for type checking.
        from moonmind_appliance.redaction import Redactor  # noqa: PLC0415

        return Redactor(secrets_of(self._settings))

    @cached_property
    def _changes(self) -> "Changes":
        # See the imports for type checking.
        from moonmind_appliance.cli.runs.direct_changes import Changes  # noqa: PLC0415

        changes = Changes(self._settings, self._actor, on_message=self._on_message)
        self._opened.callback(changes.close)
        return changes


def _json(answer: object) -> dict[str, Any]:
    """The value as the API's JSON."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return found
