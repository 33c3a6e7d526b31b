"""The request that handlers receive: the parts, the actor, and a body that was checked field by field."""

from collections.abc import Callable
from itertools import islice
from typing import Any, cast

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.errors import FieldProblem, InvalidRequest
from moonmind_appliance.models import Actor

# 256 KiB of text may become six times as many bytes when every character is escaped.
MAX_BODY_BYTES = 2 * 1024**2
# The response repeats at most this much of what a caller sent: characters of a name, and names.
_SHOWN = 100


class ApiRequest(Request[Actor, Any, State]):
    """Litestar's request with our parts; its `json` is the handler's `data`, strictly decoded."""

    @property
    def parts(self) -> ApiParts:
        """What the API depends on."""
        return cast("ApiParts", self.app.state["parts"])

    @property
    def actor(self) -> Actor:
        """The caller. Only for routes with a guard of `auth`."""
        return cast("Actor", self.scope["user"])

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call this when the response has been sent, or the caller has disconnected."""
        self.scope["state"]["at_end"].append(callback)

    async def json(self) -> Any:  # noqa: ANN401 - the handler's own type, which it declares as `data`
        """The body as the type of the handler's `data`.

        Raises:
            HTTPException: 415, the content type is not JSON.
            InvalidRequest: it is not JSON, or fields are invalid: it lists all of them.
        """
        kind, options = self.content_type
        if kind != "application/json" or options.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise HTTPException("Send the body as JSON, with `Content-Type: application/json`.", status_code=415)
        field = self.route_handler.parsed_data_field
        struct = cast("type[msgspec.Struct]", field.annotation if field else msgspec.Struct)
        return decode(await self.body(), struct)


def decode(body: bytes, struct: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a JSON object as a struct: no unknown fields, no conversions.

    Raises:
        InvalidRequest: `malformed_json`, or `invalid_request` with every invalid field.
    """
    try:
        given = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="malformed_json") from None
    except (msgspec.MsgspecError, ValueError) as error:
        reason = str(error) if isinstance(error, msgspec.MsgspecError) else "it is not valid UTF-8"
        raise InvalidRequest(
            f"The body is not valid JSON: {reason}.", hint="Send a JSON object.", code="malformed_json"
        ) from None
    if not isinstance(given, dict):
        raise InvalidRequest("The body is JSON, but not an object.", hint="Send a JSON object.")
    known = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    problems = [
        FieldProblem(name[:_SHOWN], f"Unknown field. Known fields: {', '.join(known)}.")
        for name in islice((name for name in given if name not in known), _SHOWN)
    ]
    values = {}
    for name, field in known.items():
        if name in given:
            try:
                values[field.name] = msgspec.convert(given[name], field.type)
            except msgspec.ValidationError as error:
                problems.append(FieldProblem(name, f"{error}."))
        elif field.required:
            problems.append(FieldProblem(name, "Required field is missing."))
    if problems:
        raise InvalidRequest("The request is not valid.", hint="`errors` lists what to change.", fields=problems)
    return struct(**values)
