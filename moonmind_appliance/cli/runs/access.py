"""The interface to runs, over HTTP or on the data folder. Both implementations return the same structs."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from moonmind_appliance.models import RunStatus
from moonmind_appliance.views.drain_view import DrainView
from moonmind_appliance.views.run_detail import ArtifactDetail, RunDetail
from moonmind_appliance.views.run_summary import RunAccepted, RunPage, RunSummary
from moonmind_appliance.views.shard_view import ShardView

if TYPE_CHECKING:
    # Its import loads huey, which callers over HTTP do not need.
    from moonmind_appliance.runs.submit import SubmitRequest


class RunEvent(NamedTuple):
    """One event of a run: `kind` is run, phase, artifact, shard, log or end."""

    kind: str
    data: dict[str, Any]


class RunAccess(Protocol):
    """Access to runs. Every method raises `RequestError` with the API's codes.

    An appliance that does not answer for a while raises `Unavailable`.
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
        """The whole id of a run, by `latest`, by its id, or by at least its first four characters.

        Raises:
            NotFound: no such run that this caller can see.
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

    def events(self, run_id: str) -> Iterator[RunEvent]:
        """All past events and then new ones, until the run has ended."""

    def shards(self) -> list[ShardView]:
        """GET /shards, the items."""

    def drain_state(self) -> DrainView:
        """GET /drain."""

    def drain(self) -> DrainView:
        """PUT /drain."""

    def resume(self) -> DrainView:
        """DELETE /drain."""

    def waiting(self) -> Sequence[RunSummary]:
        """The queued runs, oldest first; over HTTP at most the 200 newest of them."""

    def close(self) -> None:
        """Close connections. Idempotent."""
