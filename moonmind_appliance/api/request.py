"""The request that handlers receive: the parts, the actor, and a body that was checked field by field."""

import codecs
import re
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any, cast

import msgspec
from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from msgspec.structs import FieldInfo

from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.errors import FieldProblem, InvalidRequest
from moonmind_appliance.models import Actor
from moonmind_appliance.runs.submit import SubmitRequest, field_problems, refusal
from moonmind_appliance.text_encoding import other_form
from moonmind_appliance.untrusted_json import MOST_LEVELS, NestedTooDeeply, NotUtf8, decode

# 256 KiB of text may become six times as many bytes when every character is escaped.
MAX_BODY_BYTES = 2 * 1024**2
# The response repeats at most this much of what a caller sent: characters of a name, and names.
_SHOWN = 100
# Headers whose second value would be ignored.
_ONCE = ("Content-Type", "Content-Encoding", "Idempotency-Key", "If-Range", "Last-Event-ID", "Range")
# msgspec uses Python's names of types; the messages use JSON's.
_JSON_TYPES = {"str": "string", "int": "integer", "bool": "boolean", "float": "number", "null": "null"}


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
            InvalidRequest: it is not JSON, or fields are invalid: it lists all of them.
            TooLarge: the same, if a field is too large.
        """
        field = self.route_handler.parsed_data_field
        struct = cast("type[msgspec.Struct]", field.annotation if field else msgspec.Struct)
        values, problems = read_fields(await self.body(), struct)
        if not problems:
            return struct(**values)
        if struct is SubmitRequest:
            resources, key = self.parts.resources, self.headers.get("idempotency-key")
            # In a thread: the search for secrets in a long text takes a while.
            problems += await sync_to_thread(
                field_problems, values, resources.settings, resources.redactor, idempotency_key=key
            )
        order = {name: place for place, name in enumerate((*struct.__struct_fields__, "Idempotency-Key"))}
        raise refusal(sorted(problems, key=lambda problem: order.get(problem.field, -1)), values)


async def check_headers(request: Request[Any, Any, Any]) -> None:
    """Check what the headers say of the request, before its body is read. Litestar calls this after the guards.

    Raises:
        InvalidRequest: a header that can have one value is repeated.
        HTTPException: 415, the body is not JSON in UTF-8, or it is compressed.
    """
    repeated = [name for name in _ONCE if len(request.headers.getall(name, [])) > 1]
    if repeated:
        problems = [FieldProblem(name, "Given more than once.") for name in repeated]
        raise InvalidRequest("The request is not valid.", hint="`errors` lists what to change.", fields=problems)
    if request.route_handler.parsed_data_field is None:
        return
    kind, options = request.content_type
    if kind != "application/json":
        sent = f"`Content-Type: {kind[:_SHOWN]}`" if kind else "no `Content-Type`"
        raise HTTPException(
            f"The body has {sent}. Send it as JSON, with `Content-Type: application/json`.", status_code=415
        )
    if (charset := options.get("charset", "utf-8").lower()) not in {"utf-8", "utf8"}:
        raise HTTPException(
            f"The body has the charset {charset[:_SHOWN]}. Send JSON in UTF-8, with `Content-Type: application/json`.",
            status_code=415,
        )
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in {"", "identity"}:
        raise HTTPException(
            f"The body has `Content-Encoding: {coding[:_SHOWN]}`. Send it uncompressed, without this header.",
            status_code=415,
            headers={"Accept-Encoding": "identity"},
        )


def read_fields(body: bytes, struct: type[msgspec.Struct]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """The valid fields of a JSON object, without conversions, and what is wrong with the others.

    Raises:
        InvalidRequest: `malformed_json`, or it is not an object.
    """
    given = _decode(body)
    if not isinstance(given, dict):
        raise InvalidRequest("The body is JSON, but not an object.", hint="Send a JSON object.")
    known = _fields(struct)
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
                problems.append(FieldProblem(name, f"{json_words(str(error))}."))
        elif field.required:
            problems.append(FieldProblem(name, "Required field is missing."))
    return values, problems


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def json_words(message: str) -> str:
    """A message of msgspec with JSON's names of types: "Expected integer or null, got string"."""
    return re.sub(
        r"`([a-z |]+)`",
        lambda types: " or ".join(_JSON_TYPES.get(name, name) for name in types[1].split(" | ")),
        message,
    )


def _decode(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    _refuse_other_form(body)
    try:
        return decode(body)
    except NestedTooDeeply:
        raise InvalidRequest(
            f"The body's JSON is nested more than {MOST_LEVELS} levels deep.",
            hint="Send a JSON object, as the API's description shows it.",
            code="malformed_json",
        ) from None
    except msgspec.DecodeError as error:
        why = _not_utf8(body) if isinstance(error, NotUtf8) else str(error)
        why = why.removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
        raise InvalidRequest(
            f"The body is not valid JSON: {why}.", hint="Send a JSON object.", code="malformed_json"
        ) from None


def _refuse_other_form(body: bytes) -> None:
    """Name what is not JSON in UTF-8 without a mark (RFC 8259, section 8.1), where its first bytes show it.

    Raises:
        InvalidRequest: `malformed_json`.
    """
    if body.startswith(codecs.BOM_UTF8):
        why, hint = "starts with a byte order mark (BOM)", "Send the JSON without its first three bytes, EF BB BF."
    elif form := other_form(body):
        why, hint = f"is {form}", "Send a JSON object in UTF-8, uncompressed."
    else:
        return
    raise InvalidRequest(f"The body {why}.", hint=hint, code="malformed_json")


def _not_utf8(body: bytes) -> str:
    # The decoder counts from the beginning of the string.
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"it is not valid UTF-8 at byte {error.start}"
    return "it is not valid UTF-8"
