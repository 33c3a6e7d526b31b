"""Authenticates callers by the bearer token of the Authorization header, and by nothing else."""

import re
from typing import Any

from litestar import HttpMethod
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from moonmind_appliance.api.client_address import origin_of
from moonmind_appliance.api.failed_authentications import FailedAuthentications
from moonmind_appliance.api.known_callers import KnownCallers
from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.errors import Forbidden, Unauthenticated
from moonmind_appliance.models import Actor, Authenticated, Author, Interface, set_author
from moonmind_appliance.store.data_version import Version

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_HINT = "Send `Authorization: Bearer TOKEN`."


def bearer_token(headers: list[str]) -> str:
    """The token of the Authorization headers (RFC 6750, section 2.1).

    Raises:
        Unauthenticated: there is no token, more than one, or the header has another form.
    """
    if not headers:
        raise Unauthenticated("The request has no token.", hint=_HINT)
    if len(headers) > 1:
        raise Unauthenticated("The request has several Authorization headers.", hint=_HINT, code="invalid_token")
    match = _BEARER.fullmatch(headers[0].strip())
    if not match:
        raise Unauthenticated("The Authorization header contains no bearer token.", hint=_HINT, code="invalid_token")
    return match[1]


async def require_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: put the `Actor` of the token into the request, before its body is read. OPTIONS needs no token.

    Raises:
        Unauthenticated: 401.
        TooMany: 429, the client's address has sent too many invalid tokens.
    """
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        return
    parts: ApiParts = connection.app.state["parts"]
    token = bearer_token(connection.headers.getall("authorization", []))
    known: KnownCallers = connection.app.state["known_callers"]
    state = connection.scope["state"]
    version: Version | None = state.get("tokens_version")
    found = known.find(token, version)
    if found is None:
        found = known.add(token, version, await _authenticated(connection, parts, token))
    # For answers that can be sent again.
    state["known_caller"] = found
    actor = found.caller.actor
    connection.scope["user"] = actor
    # Each request is a task with a context of its own.
    set_author(Author(actor.subject, actor.username, Interface.API, _address(connection)))


async def _authenticated(connection: ASGIConnection[Any, Any, Any, Any], parts: ApiParts, token: str) -> Authenticated:
    """The caller to whom the token belongs. Invalid tokens are counted for the client's address.

    Raises:
        Unauthenticated: the token is not valid.
        TooMany: the address has sent too many invalid tokens.
    """
    failures: FailedAuthentications = connection.app.state["failed_authentications"]
    origin = origin_of(_address(connection))
    failures.check(origin, token)
    try:
        caller = await sync_to_thread(parts.authenticate, token)
    except Unauthenticated:
        failures.failed(origin, token)
        raise
    if caller is None:
        failures.failed(origin, token)
        raise Unauthenticated("The token is unknown, expired or revoked.", hint="Get a new one.", code="invalid_token")
    failures.succeeded(token)
    return caller


def _address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The client's address; "" if it is unknown."""
    client = connection.scope.get("client")
    return client[0] if client else ""


async def require_operator(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard: as `require_token`, and the actor must be an operator.

    Raises:
        Forbidden: `operator_only`.
    """
    await require_token(connection, handler)
    actor: Actor | None = connection.scope.get("user")
    if actor is not None and not actor.operator:
        raise Forbidden(
            "Only operators may use this.", hint="Use a token with the operator role.", code="operator_only"
        )
