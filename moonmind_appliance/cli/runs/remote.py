"""Access over HTTP, to the REST API of an appliance on any machine."""

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from moonmind_appliance.api_address import is_loopback
from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.exits import CommandFailed, Exit, exit_of
from moonmind_appliance.cli.runs.access import RunEvent
from moonmind_appliance.errors import (
    ApplianceError,
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidRequest,
    LoginError,
    NotFound,
    RequestError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from moonmind_appliance.models import RunStatus
from moonmind_appliance.trust import trust_context
from moonmind_appliance.untrusted_json import decode
from moonmind_appliance.views.drain_view import DrainView
from moonmind_appliance.views.run_detail import ArtifactDetail, RunDetail
from moonmind_appliance.views.run_summary import RunAccepted, RunPage, RunSummary, check_run_name
from moonmind_appliance.views.shard_view import ShardView

if TYPE_CHECKING:
    # Its import loads huey, which callers over HTTP do not need.
    from moonmind_appliance.runs.submit import SubmitRequest

_T = TypeVar("_T")

_API = "/api/spec-automation"
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# The stream sends a comment at least every 15 seconds.
_STREAM_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_STREAM_TRIES = 20
_LONGEST_PAUSE = 5.0
_CHUNK = 256 * 1024
# The API has no search by prefix: search the newest runs.
_LONGEST_PAGE = 200
_PAGES_SEARCHED = 10

_BY_STATUS: dict[int, type[RequestError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
}
_RETRY_SECONDS = 10
_BUSY = frozenset({429, 502, 503, 504})


class _ProblemField(msgspec.Struct):
    field: str = ""
    message: str = ""


class _Problem(msgspec.Struct):
    """The body of the API's error response (RFC 9457)."""

    detail: str = ""
    title: str = ""
    code: str = ""
    errors: list[_ProblemField] = []


class _Shards(msgspec.Struct):
    items: list[ShardView]


class _Bearer(httpx.Auth):
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


class Remote:
    """A `RunAccess` over HTTP. `token` is called before each request.

    Redirects are not followed, so that no other server gets the token.
    """

    def __init__(self, server: str, token: Callable[[], str], *, ca_file: Path | None = None) -> None:
        self._server = server
        self._client = httpx.Client(
            base_url=server + _API,
            auth=_Bearer(token),
            timeout=_TIMEOUT,
            verify=trust_context(ca_file),
            # Ignore the environment's proxies for an appliance on this machine.
            trust_env=not is_loopback(urlsplit(server).hostname or ""),
            headers={"Accept": "application/json", "User-Agent": "moonmind-appliance-cli"},
        )

    def submit(self, request: "SubmitRequest", idempotency_key: str | None) -> RunAccepted:
        """POST /runs."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return self._request(RunAccepted, "POST", "/runs", json=msgspec.to_builtins(request), headers=headers)

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
        given = {
            "status": None if status is None else status.value,
            "repository": repository,
            "external_ref": external_ref,
            "limit": limit,
            "cursor": cursor,
        }
        return self._request(
            RunPage, "GET", "/runs", params={name: value for name, value in given.items() if value is not None}
        )

    def find(self, name: str) -> str:
        """The whole id of the newest run, or of one among the 2,000 newest that this caller can see."""
        text = name.strip().lower()
        if text == "latest":
            newest = self.page(limit=1).items
            if not newest:
                raise NotFound("There are no runs yet.", hint="Submit a run first.", code="run_not_found")
            return newest[0].run_id
        if check_run_name(name):
            return text
        found: list[str] = []
        cursor = None
        for _ in range(_PAGES_SEARCHED):
            page = self.page(limit=_LONGEST_PAGE, cursor=cursor)
            found += [run.run_id for run in page.items if run.run_id.startswith(text)]
            cursor = page.next_cursor
            if cursor is None:
                break
        if len(found) > 1:
            raise InvalidRequest(f"More than one run id starts with {text}.", hint="Give more characters of the id.")
        if not found:
            raise NotFound(
                f"No run id starts with {text}.",
                hint="Check the id. You can see only runs that you submitted.",
                code="run_not_found",
            )
        return found[0]

    def detail(self, run_id: str) -> RunDetail:
        """GET /runs/{run_id}."""
        return self._request(RunDetail, "GET", f"/runs/{run_id}")

    def cancel(self, run_id: str) -> RunAccepted:
        """POST …/cancel."""
        return self._request(RunAccepted, "POST", f"/runs/{run_id}/cancel")

    def retry(self, run_id: str) -> RunAccepted:
        """POST …/retry."""
        return self._request(RunAccepted, "POST", f"/runs/{run_id}/retry")

    def artifact(self, run_id: str, artifact_id: str) -> ArtifactDetail:
        """GET …/artifacts/{artifact_id}."""
        return self._request(ArtifactDetail, "GET", f"/runs/{run_id}/artifacts/{artifact_id}")

    def content(self, run_id: str, artifact_id: str) -> Iterator[bytes]:
        """GET …/content."""
        try:
            with self._client.stream("GET", f"/runs/{run_id}/artifacts/{artifact_id}/content") as answer:
                self._check(answer)
                yield from answer.iter_bytes(_CHUNK)
        except httpx.HTTPError as error:
            raise self._unavailable(error) from None

    def shards(self) -> list[ShardView]:
        """GET /shards."""
        return self._request(_Shards, "GET", "/shards").items

    def drain_state(self) -> DrainView:
        """GET /drain."""
        return self._request(DrainView, "GET", "/drain")

    def drain(self) -> DrainView:
        """PUT /drain."""
        return self._request(DrainView, "PUT", "/drain")

    def resume(self) -> DrainView:
        """DELETE /drain."""
        return self._request(DrainView, "DELETE", "/drain")

    def waiting(self) -> list[RunSummary]:
        """GET /runs?status=queued, the 200 newest, oldest first."""
        return self.page(status=RunStatus.QUEUED, limit=_LONGEST_PAGE).items[::-1]

    def events(self, run_id: str) -> Iterator[RunEvent]:
        """GET …/events; continues after the last event when the connection is lost or the appliance restarts."""
        last, failures = "", 0
        while True:
            try:
                for kind, data, place in self._events(run_id, last):
                    last, failures = place, 0
                    yield RunEvent(kind, data)
                    if kind == "end":
                        return
            except (httpx.HTTPError, Unavailable, LoginError) as error:
                failures += 1
                reported = error if isinstance(error, ApplianceError) else self._unavailable(error)
                if failures > _STREAM_TRIES or exit_of(reported) is not Exit.UNAVAILABLE:
                    raise reported from None
            time.sleep(min(0.5 * failures + 0.2, _LONGEST_PAUSE))

    def _events(self, run_id: str, last: str) -> Iterator[tuple[str, dict[str, Any], str]]:
        """One connection's server-sent events: name, data, id. Comments, which have no name, are left out."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self._client.stream("GET", f"/runs/{run_id}/events", headers=headers, timeout=_STREAM_TIMEOUT) as answer:
            self._check(answer)
            if answer.status_code == httpx.codes.NO_CONTENT:
                yield "end", {}, last
                return
            fields: dict[str, str] = {}
            for text in answer.iter_lines():
                name, _, value = text.partition(": ")
                if text:
                    fields[name] = value
                    continue
                if "event" in fields and "data" in fields:
                    yield fields["event"], msgspec.json.decode(fields["data"]), fields.get("id", last)
                fields = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, kind: type[_T], method: str, path: str, **more: Any) -> _T:  # noqa: ANN401 - passed on to httpx
        """The response as that struct. Unknown fields, such as a newer appliance's, are ignored."""
        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise self._unavailable(error) from None
        self._check(answer)
        try:
            return decode(answer.content, kind)
        except msgspec.ValidationError as error:
            raise CommandFailed(
                f"The response of {self._server} is not valid: {error}.",
                hint=(
                    f"If it is an appliance, its version differs from this program's: compare `{PROGRAM} version` "
                    "on both machines."
                ),
            ) from None
        except msgspec.MsgspecError:
            raise self._not_an_appliance(answer) from None

    def _check(self, answer: httpx.Response) -> None:
        """Raise the error that matches the API's error response."""
        if answer.is_success:
            return
        answer.read()
        try:
            problem = decode(answer.content, _Problem)
        except msgspec.MsgspecError:
            if answer.status_code in _BUSY:
                # The appliance's proxy, while it restarts.
                message = f"{self._server} returned {answer.status_code}, and the response is not the appliance's."
                raise Unavailable(message, code="unavailable", retry_after=_RETRY_SECONDS) from None
            raise self._not_an_appliance(answer) from None
        message = problem.detail or problem.title or answer.reason_phrase
        fields = [FieldProblem(field.field, field.message) for field in problem.errors]
        if answer.status_code in _BUSY:
            after = answer.headers.get("retry-after", "")
            seconds = int(after) if after.isdigit() else _RETRY_SECONDS
            raise Unavailable(message, code=problem.code, retry_after=seconds)
        kind = _BY_STATUS.get(answer.status_code)
        if kind is None:
            raise CommandFailed(f"{self._server} returned {answer.status_code}: {message}")
        raise kind(message, code=problem.code, fields=fields)

    def _unavailable(self, error: httpx.HTTPError) -> CommandFailed:
        why = "timed out" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
        return CommandFailed(
            f"No appliance responds at {self._server} ({why}).",
            hint="Is `moonmind-appliance serve` running there? Use --server or MOONMIND_SERVER to select another one.",
            code=Exit.UNAVAILABLE,
        )

    def _not_an_appliance(self, answer: httpx.Response) -> CommandFailed:
        location = answer.headers.get("location")
        more = f", redirect to {location}" if location else ""
        return CommandFailed(
            f"{self._server} is not an appliance (status {answer.status_code}{more}).",
            hint="Check --server or MOONMIND_SERVER.",
            code=Exit.UNAVAILABLE,
        )
