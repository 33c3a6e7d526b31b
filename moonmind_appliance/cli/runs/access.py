"""What can be done to runs, whichever way: over HTTP or on the data folder. Both ways answer with the same structs."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from moonmind_appliance.models import RunStatus
from moonmind_appliance.views.run_detail import ArtifactDetail, RunDetail
from moonmind_appliance.views.run_summary import RunAccepted, RunPage, RunSummary
from moonmind_appliance.views.shard_view import ShardView

if TYPE_CHECKING:
    # It brings huey along, which no caller over HTTP needs.
    from moonmind_appliance.runs.submit import SubmitRequest


class News(NamedTuple):
    """Something new of a run: `kind` is run, phase, artifact, shard, log or end."""

    kind: str
    data: dict[str, Any]


class RunAccess(Protocol):
    """What can be done to runs. Every method raises `RequestError` as the API means it.

    A run that does not answer for a while raises `Unavailable`.
    """

    def submit(self, request: "SubmitRequest", idempotency_key: str | None) -> RunAccepted:
        """POST /runs."""

    def page(
        self,
        *,
        status: RunStatus | None = None,
        repository: str | None = None,
        external_ref: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """GET /runs."""

    def find(self, name: str) -> str:
        """The whole id of the run that `latest`, its id, or four or more of its first characters name.

        Raises:
            NotFound: no run that this caller sees.
            InvalidRequest: several runs, or not an id.
        """

    def detail(self, run_id: str) -> RunDetail:
        """GET /runs/{run_id}."""

    def cancel(self, run_id: str) -> RunAccepted:
        """POST …/cancel."""

    def retry(self, run_id: str) -> RunAccepted:
        """POST …/retry."""

    def artifact(self, run_id: str, artifact_id: str) -> ArtifactDetail:
        """GET …/artifacts/{artifact_id}."""

    def content(self, run_id: str, artifact_id: str) -> Iterator[bytes]:
        """The artifact's bytes, in pieces."""

    def news(self, run_id: str) -> Iterator[News]:
        """Everything that happened and then what happens, until the run has ended."""

    def shards(self) -> list[ShardView]:
        """GET /shards, the items."""

    def waiting(self) -> Sequence[RunSummary]:
        """The queued runs, oldest first; over HTTP at most the 200 newest of them."""

    def close(self) -> None:
        """Close connections. Safe twice."""
