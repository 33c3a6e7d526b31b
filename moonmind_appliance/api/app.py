"""Builds the API from its handlers."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from litestar import Litestar, Router, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.response import Redirect
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from moonmind_appliance.api.artifacts import artifacts_router
from moonmind_appliance.api.drain import drain_router
from moonmind_appliance.api.events import OpenStreams, events_router
from moonmind_appliance.api.failed_authentications import FailedAuthentications
from moonmind_appliance.api.followers import Followers
from moonmind_appliance.api.health import health_router
from moonmind_appliance.api.known_callers import KnownCallers
from moonmind_appliance.api.metrics import Metrics, metrics_router
from moonmind_appliance.api.openapi import complete, openapi_config
from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.api.paths import SCHEMA_PATH
from moonmind_appliance.api.problems import to_problem
from moonmind_appliance.api.repeated_answers import RepeatedAnswers, key_of
from moonmind_appliance.api.request import MAX_BODY_BYTES, ApiRequest, check_headers
from moonmind_appliance.api.runs import runs_router
from moonmind_appliance.api.shards import shards_router
from moonmind_appliance.api.wire import answer_head, common_headers, limit_body, long_address_refused
from moonmind_appliance.api.writing import WriteThreads
from moonmind_appliance.api_address import BASE_PATH
from moonmind_appliance.store.data_version import DataVersion

_log = logging.getLogger(__name__)

_CALLERS_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# Longest part, in characters, of a text from a caller that is logged.
_SHOWN_OF_METHOD, _SHOWN_OF_PATH = 20, 500
# Probes and scrapers request these every few seconds; at INFO they would fill the log.
_PROBES = {f"{BASE_PATH}/health", f"{BASE_PATH}/ready"}


class Api(Litestar):
    """Litestar, with an id, a log line and a count for every request, and HEAD for every GET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Answer one request."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        answer: list[tuple[int, float]] = []
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _CALLERS_ID.fullmatch(given) else uuid.uuid4().hex
        method = scope["method"]
        parts: ApiParts = self.state["parts"]
        answers: RepeatedAnswers = self.state["repeated_answers"]
        key = key_of(scope)
        versions: DataVersion = self.state["data_version"]
        version = versions.now() if b"authorization" in headers else None
        repeated = None if key is None else answers.find(key, version)
        record = None if key is None or repeated else answers.recorder(key, scope, version)
        receive, send = limit_body(scope, receive, send, seconds=parts.pace.body_within)
        if method == "HEAD":
            scope, receive, send = answer_head(scope, receive, send)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["tokens_version"] = versions.of_tokens(version)
        at_end: list[Callable[[], object]] = []
        state["at_end"] = at_end

        async def send_with_id(message: Message) -> None:
            if record is not None:
                record.see(message)
            if message["type"] == "http.response.start":
                message["headers"] = common_headers(message["headers"], request_id)
                answer.append((message["status"], time.monotonic() - began))
            await send(message)

        try:
            if repeated is not None:
                await repeated.send(send_with_id)
            elif not await long_address_refused(scope, send_with_id):
                await super().__call__(scope, receive, send_with_id)
        finally:
            for callback in reversed(at_end):
                callback()
            status, seconds = answer[0] if answer else (0, time.monotonic() - began)
            route = repeated.route if repeated else str(scope.get("path_template") or "none")
            self.state["metrics"].answered(method, route, status, seconds)
            _log.log(
                logging.DEBUG if route in _PROBES else logging.INFO,
                "%s %s %d in %.1f ms, request %s",
                method[:_SHOWN_OF_METHOD],
                scope["raw_path"][:_SHOWN_OF_PATH].decode("latin-1"),
                status,
                seconds * 1000,
                request_id,
            )


@get(["/", BASE_PATH], sync_to_thread=False, include_in_schema=False)
def to_schema() -> Redirect:
    """For people with a browser: the page that describes the API."""
    return Redirect(SCHEMA_PATH)


def build_api(parts: ApiParts) -> Litestar:
    """The ASGI application of the REST contract.

    It configures no logging and starts nothing; `parts.lifespan` does that.
    """
    streams = OpenStreams()
    threads = WriteThreads()
    metrics = Metrics(parts, lambda: len(streams))
    followers = Followers(parts.resources, parts.pace.look_every)
    version = DataVersion(parts.resources.store.database)
    state = State(
        {
            "parts": parts,
            "streams": streams,
            "followers": followers,
            "metrics": metrics,
            "write_threads": threads,
            "data_version": version,
            "known_callers": KnownCallers(),
            "failed_authentications": FailedAuthentications(parts.resources.settings.max_failed_authentications),
            "repeated_answers": RepeatedAnswers(),
        }
    )
    router = Router(
        BASE_PATH,
        route_handlers=[
            runs_router,
            events_router,
            artifacts_router,
            shards_router,
            drain_router,
            health_router,
            metrics_router,
        ],
    )
    api = Api(
        [router, to_schema],
        state=state,
        request_class=ApiRequest,
        before_request=check_headers,
        request_max_body_size=MAX_BODY_BYTES,
        exception_handlers={Exception: to_problem},
        openapi_config=openapi_config(parts.version),
        lifespan=[parts.lifespan] if parts.lifespan else [],
        logging_config=None,
        on_shutdown=[threads.close, version.close],
    )
    complete(api)
    return api
