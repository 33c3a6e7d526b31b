"""The webhook's messages in the OpenAPI document: what a receiver gets, and what its answers mean."""

from typing import Any, cast

import msgspec
from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType

from moonmind_appliance.models import (
    RUN_MESSAGES,
    SHARD_MESSAGES,
    TEST_MESSAGES,
    RunMessage,
    SenderMessage,
    ShardMessage,
)

_MESSAGES = ((RUN_MESSAGES, RunMessage), (SHARD_MESSAGES, ShardMessage), (TEST_MESSAGES, SenderMessage))
_PREFIX = "Webhook"
_HEADERS = {
    "webhook-id": "The same for each attempt to deliver this message; ignore a message that you have seen.",
    "webhook-timestamp": "Time of this attempt, in seconds since 1970.",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of id, timestamp and body, in base64.",
}
_ANSWERS = {
    "2XX": "The message arrived.",
    "410": "No more messages are sent until the appliance restarts.",
    "default": "The message is sent again later.",
}


def describe_webhooks(document: OpenAPI) -> None:
    """Add the messages and their schemas to the document; the schemas' names begin with `Webhook`."""
    structs = [struct for _, struct in _MESSAGES]
    _, schemas = msgspec.json.schema_components(structs, ref_template=f"#/components/schemas/{_PREFIX}{{name}}")
    if document.components is not None:
        # JSON schemas as they are: Litestar writes dictionaries unchanged.
        named = {f"{_PREFIX}{name}": schema for name, schema in schemas.items()}
        document.components.schemas.update(cast("dict[str, Schema]", named))
    document.webhooks = {
        kind: PathItem(post=_operation(kind, meaning, struct.__name__))
        for kinds, struct in _MESSAGES
        for kind, meaning in kinds.items()
    }


def _operation(kind: str, meaning: str, struct: str) -> Operation:
    schema: Any = {
        "allOf": [{"$ref": f"#/components/schemas/{_PREFIX}{struct}"}, {"properties": {"type": {"const": kind}}}]
    }
    return Operation(
        operation_id=f"receive_{kind.replace('.', '_')}",
        summary=kind,
        description=meaning,
        tags=["webhook"],
        # The signature authenticates the sender; there is no token.
        security=[],
        parameters=[
            Parameter(
                name=name,
                param_in="header",
                required=True,
                description=description,
                schema=Schema(type=OpenAPIType.STRING),
            )
            for name, description in _HEADERS.items()
        ],
        request_body=RequestBody(required=True, content={"application/json": OpenAPIMediaType(schema=schema)}),
        responses={status: OpenAPIResponse(description=description) for status, description in _ANSWERS.items()},
    )
