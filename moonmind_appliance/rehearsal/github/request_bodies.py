"""Checks JSON bodies of requests against the schema, with GitHub's error answers."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from moonmind_appliance.rehearsal.github.refusals import Refused


class Field(NamedTuple):
    """The types of a property, and GitHub's description of them."""

    types: tuple[type, ...]
    description: str
    required: bool = False


STRING = Field((str,), "a string")
REQUIRED_STRING = Field((str,), "a string", required=True)
STRING_OR_NULL = Field((str, type(None)), "a string or null")
BOOLEAN = Field((bool,), "a boolean")
INTEGER = Field((int,), "an integer")
LIST = Field((list,), "an array", required=True)


def parse(body: bytes, operation: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON value.

    Raises:
        Refused: 400 for invalid JSON.
    """
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "Problems parsing JSON", operation=operation) from None


def read(body: bytes, fields: Mapping[str, Field], operation: str) -> dict[str, Any]:
    """The object, with known properties of the right types only.

    Raises:
        Refused: 400 if it is not a JSON object, 422 for invalid properties.
    """
    value = parse(body, operation)
    if not isinstance(value, dict):
        raise Refused(400, "Body should be a JSON object", operation=operation)
    return fit(value, fields, operation)


def fit(value: dict[str, Any], fields: Mapping[str, Field], operation: str) -> dict[str, Any]:
    """The object itself.

    Raises:
        Refused: 422 for properties that are missing, unknown or of another type.
    """
    errors = [f'"{name}" wasn\'t supplied.' for name, field in fields.items() if field.required and name not in value]
    for name, given in value.items():
        if name not in fields:
            errors.append(f'"{name}" is not a permitted key.')
        elif not _fits(given, fields[name].types):
            errors.append(f"For 'properties/{name}', {shown(given)} is not {fields[name].description}.")
    if errors:
        raise malformed(operation, *errors)
    return value


def malformed(operation: str, *errors: str) -> Refused:
    """The error for a body that does not match the operation's schema."""
    return Refused(422, "\n".join(["Invalid request.\n", *errors]), operation=operation)


def _fits(value: object, types: tuple[type, ...]) -> bool:
    # In Python a boolean is an int; in JSON it is not.
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def shown(value: object) -> str:
    """The value as GitHub's messages quote it."""
    return "nil" if value is None else json.dumps(value)
