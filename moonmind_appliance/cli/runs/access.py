"""What can be done to runs, whichever way: over HTTP or on the data folder.

Answers are the JSON of the REST contract, so that everything above looks the same either way.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol


class News(NamedTuple):
    """Something new of a run: `kind` is run, phase, artifact, shard, log or end."""

    kind: str
    data: dict[str, Any]


class RunAccess(Protocol):
    """What can be done to runs. Answers are the API's JSON; every method raises `RequestError` as the API means it.

    A run that does not answer for a while raises `Unavailable`.
    """

    def submit(self, request: Mapping[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        """POST /runs."""

    def page(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        """GET /runs: `items` and `next_cursor`."""

    def detail(self, run_id: str) -> dict[str, Any]:
        """GET /runs/{run_id}."""

    def cancel(self, run_id: str) -> dict[str, Any]:
        """POST …/cancel."""

    def retry(self, run_id: str) -> dict[str, Any]:
        """POST …/retry."""

    def artifact(self, run_id: str, artifact_id: str) -> dict[str, Any]:
        """GET …/artifacts/{artifact_id}."""

    def content(self, run_id: str, artifact_id: str) -> Iterator[bytes]:
        """The artifact's bytes, in pieces."""

    def news(self, run_id: str) -> Iterator[News]:
        """Everything that happened and then what happens, until the run has ended."""

    def shards(self) -> list[dict[str, Any]]:
        """GET /shards, the items."""

    def close(self) -> None:
        """Let go of connections. Safe twice."""
