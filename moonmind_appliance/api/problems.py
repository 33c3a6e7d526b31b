"""Returns every error as application/problem+json (RFC 9457), including Litestar's own."""

import errno
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from moonmind_appliance.api.paths import SCHEMA_PATH
from moonmind_appliance.errors import (
    FileUnusable,
    RequestError,
    StoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnreadableRow,
)

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
REALM = "moonmind-appliance"
_SHOWN_OF_METHOD = 20
_STORE_RETRY_SECONDS = 10
_STREAMS_RETRY_SECONDS = 15
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SHOWN_OF_METHOD = 20


class ProblemKind(NamedTuple):
    """The status and the title of a code, which are always the same."""

    status: int
    title: str


PROBLEMS: dict[str, ProblemKind] = {
    "malformed_json": ProblemKind(400, "The body is not JSON"),
    "invalid_request": ProblemKind(400, "The request is not valid"),
    "unauthenticated": ProblemKind(401, "A bearer token is required"),
    "invalid_token": ProblemKind(401, "The bearer token is not valid"),
    "malformed_token": ProblemKind(401, "The token is not an access token"),
    "algorithm_not_allowed": ProblemKind(401, "The access token's signing algorithm is not accepted"),
    "unknown_key": ProblemKind(401, "The access token's signing key is unknown"),
    "bad_signature": ProblemKind(401, "The access token's signature is not valid"),
    "token_expired": ProblemKind(401, "The access token has expired"),
    "token_not_yet_valid": ProblemKind(401, "The access token is not valid yet"),
    "wrong_issuer": ProblemKind(401, "The access token is from another issuer"),
    "wrong_audience": ProblemKind(401, "The access token is for another client"),
    "wrong_token_type": ProblemKind(401, "The token has the wrong type"),
    "forbidden": ProblemKind(403, "Not allowed"),
    "operator_only": ProblemKind(403, "Operators only"),
    "repository_not_allowed": ProblemKind(403, "The repository is not allowed"),
    "not_found": ProblemKind(404, "Nothing exists at this URL"),
    "run_not_found": ProblemKind(404, "The run does not exist"),
    "artifact_not_found": ProblemKind(404, "The artifact does not exist"),
    "artifact_gone": ProblemKind(404, "The artifact's content has been removed"),
    "method_not_allowed": ProblemKind(405, "Method not allowed"),
    "request_timeout": ProblemKind(408, "The request did not arrive in time"),
    "conflict": ProblemKind(409, "The current state does not allow this"),
    "run_final": ProblemKind(409, "The run has ended"),
    "run_not_retryable": ProblemKind(409, "The run cannot be retried"),
    "specification_removed": ProblemKind(409, "The run's specification text was removed"),
    "idempotency_key_reused": ProblemKind(409, "The Idempotency-Key was used with a different body"),
    "too_large": ProblemKind(413, "The body is too large"),
    "address_too_long": ProblemKind(414, "The URL is too long"),
    "unsupported_media_type": ProblemKind(415, "The body's content type is not supported"),
    "range_not_satisfiable": ProblemKind(416, "The range is outside the content"),
    "too_many_submissions": ProblemKind(429, "Too many submissions"),
    "too_many_queued_runs": ProblemKind(429, "Too many queued runs"),
    "queue_full": ProblemKind(429, "The queue is full"),
    "too_many_failed_authentications": ProblemKind(429, "Too many invalid tokens"),
    "too_many_streams": ProblemKind(429, "Too many event streams"),
    "internal_error": ProblemKind(500, "The appliance failed"),
    "record_unreadable": ProblemKind(500, "The stored record cannot be read"),
    "artifact_damaged": ProblemKind(500, "The artifact's file is damaged or cannot be read"),
    "disk_blocked": ProblemKind(503, "The disk is full"),
    "draining": ProblemKind(503, "The appliance is stopping"),
    "not_ready": ProblemKind(503, "The appliance cannot accept or run work now"),
    "identity_provider_unreachable": ProblemKind(503, "The token cannot be checked now"),
    "store_unavailable": ProblemKind(503, "The database is unavailable"),
    "too_many_connections": ProblemKind(503, "Too many connections"),
    "unavailable": ProblemKind(503, "Currently unavailable"),
}

_UNREADABLE = (
    "The stored record of this run cannot be read; other runs are not affected. The operator can export and remove it "
    "with `moonmind-appliance runs remove`; the appliance's log says what is wrong with it."
)

_DAMAGED = (
    "The stored file of this artifact is damaged or cannot be read; other artifacts are not affected. The appliance's "
    "log says what is wrong with it."
)

# Litestar's own errors carry a status only.
_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    429: "too_many_streams",
    503: "unavailable",
}


class ProblemField(msgspec.Struct, frozen=True):
    """One field, parameter, header or check, and what is wrong with it."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused (RFC 9457): `code` is for programs, `detail` for people."""

    type: Annotated[
        str,
        msgspec.Meta(
            description="URI of the problem type: urn:moonmind-appliance:problem: followed by the code.",
            examples=["urn:moonmind-appliance:problem:invalid_request"],
        ),
    ]
    title: Annotated[str, msgspec.Meta(description="Short description of the problem type.")]
    status: Annotated[int, msgspec.Meta(description="The HTTP status.", examples=[400])]
    detail: Annotated[str, msgspec.Meta(description="What is wrong and what to do.")]
    code: Annotated[str, msgspec.Meta(description="Stable code for programs.", examples=["invalid_request"])]
    errors: Annotated[list[ProblemField], msgspec.Meta(description="Every field that is not valid.")] = []


def problem(code: str, detail: str, errors: list[ProblemField] | None = None, *, status: int | None = None) -> Problem:
    """A problem with the title of `PROBLEMS`; `status` is for a code that is not in it."""
    kind = PROBLEMS.get(code) or ProblemKind(status or 400, HTTPStatus(status or 400).phrase)
    return Problem(f"urn:moonmind-appliance:problem:{code}", kind.title, kind.status, detail, code, errors or [])


def answer(body: Problem, headers: Mapping[str, str] | None = None) -> Response[Problem]:
    """The problem as a response."""
    return Response(
        body,
        status_code=body.status,
        media_type=PROBLEM_JSON,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar's exception handler for every error. An unexpected one is logged with the request's id."""
    if isinstance(error, RequestError):
        fields = [ProblemField(*field) for field in error.fields]
        body = problem(error.code, str(error), fields, status=error.status)
        return answer(body, _headers(request, error))
    if isinstance(error, StoreError):
        _log.error("Request %s: %s", request_id(request), error)
        return _of_store(error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
        _log.error("Request %s: too little memory, or too many open files (%s).", request_id(request), error)
        body = problem("unavailable", "The appliance has too little memory, or too many open files, for this request.")
        return answer(body, {"Retry-After": str(_STORE_RETRY_SECONDS)})
    if isinstance(error, HTTPException) and error.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_litestar(request, error)
    if isinstance(error, InternalServerException) and "disconnected" in error.detail:
        # The client has disconnected: not a defect, and this response is not received.
        _log.info("Request %s: the caller disconnected before the body was complete.", request_id(request))
        return answer(problem("invalid_request", "The request body is incomplete."))
    _log.error("Request %s failed.", request_id(request), exc_info=error)
    detail = f"This is a bug in the appliance: report it to the operator with the request id {request_id(request)}."
    return answer(problem("internal_error", detail))


def _of_store(error: StoreError) -> Response[Problem]:
    if isinstance(error, UnreadableRow):
        return answer(problem("record_unreadable", _UNREADABLE))
    if isinstance(error, FileUnusable):
        return answer(problem("artifact_damaged", _DAMAGED))
    body = problem("store_unavailable", "The database is unavailable; the appliance's log says why.")
    return answer(body, {"Retry-After": str(_STORE_RETRY_SECONDS)})


def request_id(request: Request[Any, Any, Any]) -> str:
    """The id in the response's X-Request-ID and in the log."""
    return str(request.scope["state"].get("request_id", "unknown"))


# The errors of every route that needs a token.
BEHIND_A_TOKEN = (
    *(code for code, kind in PROBLEMS.items() if kind.status == HTTPStatus.UNAUTHORIZED),
    "too_many_failed_authentications",
    "identity_provider_unreachable",
    "store_unavailable",
)


def problems(*codes: str) -> dict[int, ResponseSpec]:
    """The OpenAPI responses of a route for these codes, and for those that every route has."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, "invalid_request", "internal_error", "too_many_connections")):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        status: ResponseSpec(
            Problem,
            generate_examples=False,
            media_type=PROBLEM_JSON,
            description="; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in of_status),
            examples=[
                Example(id=code, summary=PROBLEMS[code].title, value=problem(code, PROBLEMS[code].title + "."))
                for code in of_status
            ],
        )
        for status, of_status in sorted(by_status.items())
    }


def _of_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    fields = _fields(error)
    if any(field.field == "data" for field in fields):
        return answer(problem("malformed_json", "The body is empty. Send a JSON object."))
    body = problem(_CODES.get(error.status_code, "invalid_request"), _detail(request, error), fields)
    headers = {"Retry-After": str(_STREAMS_RETRY_SECONDS)} if body.code == "too_many_streams" else {}
    return answer(body, {**(error.headers or {}), **headers})


def _headers(request: Request[Any, Any, Any], error: RequestError) -> dict[str, str]:
    if isinstance(error, TooMany | Unavailable):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": _challenge(request, error)}
    return {}


def _challenge(request: Request[Any, Any, Any], error: Unauthenticated) -> str:
    """RFC 6750, section 3: no error code if no token was sent."""
    challenge = f'Bearer realm="{REALM}"'
    if "authorization" not in request.headers:
        return challenge
    description = "".join(c for c in error.message if " " <= c <= "~" and c not in '"\\')
    return f'{challenge}, error="invalid_token", error_description="{description}"'


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return f"Nothing exists at this URL. {SCHEMA_PATH} lists every route."
        case 405:
            return (
                f"{request.method[:_SHOWN_OF_METHOD]} is not allowed here; the Allow header lists the allowed methods."
            )
        case 413:
            return "The body is too large. specify_text may have at most 262144 bytes of UTF-8."
        case _ if isinstance(error, ValidationException) and error.extra:
            return "The request is not valid. `errors` lists what to change."
        case _:
            return error.detail


def _fields(error: HTTPException) -> list[ProblemField]:
    if not isinstance(error.extra, list):
        return []
    return [
        ProblemField(str(item.get("key", "request")), str(item.get("message", "")))
        for item in error.extra
        if isinstance(item, dict)
    ]
