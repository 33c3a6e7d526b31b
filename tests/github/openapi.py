"""Checks exchanges against GitHub's own OpenAPI description."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from jsonschema import Draft4Validator, FormatChecker

_FORMATS = FormatChecker(formats=())
# Answers that GitHub gives to every operation, whether or not its description repeats them there: see "Troubleshooting
# the REST API" and "Rate limits for the REST API" in its docs.
_ANYWHERE = frozenset({301, 307, 400, 401, 403, 404, 415, 429})


@_FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri")
def _is_address(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"https?://[^\s{}]+", value))


class Exchange(NamedTuple):
    """A request and its answer. `path` is relative to the API's root and as it was sent, with the query."""

    method: str
    path: str
    sent: bytes
    status: int
    received: bytes


class Description:
    """One description; only the operations of checked exchanges are read."""

    def __init__(self, file: Path) -> None:
        document = msgspec.json.decode(file.read_bytes())
        self._components = document["components"]
        self._paths = {
            tuple(template.strip("/").split("/")): operations for template, operations in document["paths"].items()
        }
        self._validators: dict[tuple[str, ...], Draft4Validator] = {}

    def errors(self, exchange: Exchange) -> list[str]:
        """Everything in the exchange that GitHub's description does not allow."""
        return [*self.request_errors(exchange), *self.answer_errors(exchange)]

    def request_errors(self, exchange: Exchange) -> list[str]:
        """Problems of the request's path, query and body."""
        template, operation, values = self._operation(exchange)
        if operation is None:
            return [f"{exchange.method} {exchange.path}: no such operation"]
        query = parse_qs(urlsplit(exchange.path).query, keep_blank_values=True)
        given = {("path", name): [value] for name, value in values.items()}
        given |= {("query", name): value for name, value in query.items()}
        errors = []
        for parameter in map(self._resolved, operation["parameters"]):
            key = (parameter["in"], parameter["name"])
            if parameter.get("required") and key not in given:
                errors.append(f"{key} is missing")
            for value in given.pop(key, []):
                typed = int(value) if parameter["schema"].get("type") == "integer" and value.isdecimal() else value
                errors += self._check((template, exchange.method, *key), parameter["schema"], typed)
        errors += [f"{key} is not known" for key in given]
        body = self._resolved(operation.get("requestBody", {}))
        if exchange.sent or body.get("required"):
            if not body:
                return [*errors, "a body is not known"]
            schema = body["content"]["application/json"]["schema"]
            errors += self._check((template, exchange.method, "body"), schema, msgspec.json.decode(exchange.sent))
        return errors

    def answer_errors(self, exchange: Exchange) -> list[str]:
        """Problems of the answer's status and body."""
        template, operation, _ = self._operation(exchange)
        if exchange.status >= 500:
            return []
        answers = {} if operation is None else operation["responses"]
        if str(exchange.status) in answers:
            content = self._resolved(answers[str(exchange.status)]).get("content", {})
            if not content:
                return [f"{exchange.method} {exchange.path}: an answer that must have no body has one"] * bool(
                    exchange.received
                )
            schema = content["application/json"]["schema"]
        elif exchange.status in _ANYWHERE:
            schema = {"$ref": "#/components/schemas/basic-error"}
        else:
            return [f"{exchange.method} {exchange.path}: {exchange.status} is not one of its statuses"]
        received = msgspec.json.decode(exchange.received)
        if exchange.status >= 300 and received.get("status") == str(exchange.status):
            del received["status"]  # github.com adds it to every error; its description has it in some only
        return self._check((template, exchange.method, str(exchange.status)), schema, received)

    def _operation(self, exchange: Exchange) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
        # The target of redirects for renamed repositories: the same operations, not described a second time.
        path = re.sub(r"^/repositories/\d+", "/repos/owner/name", urlsplit(exchange.path).path)
        parts = [unquote(part) for part in path.strip("/").split("/")]
        for template, operations in self._paths.items():
            values = _match(template, parts)
            if values is not None and exchange.method.lower() in operations:
                return "/".join(template), operations[exchange.method.lower()], values
        return path, None, {}

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in value:
            return value
        kind, name = value["$ref"].removeprefix("#/components/").split("/")
        found: dict[str, Any] = self._components[kind][name]
        return found

    def _check(self, key: tuple[str, ...], schema: dict[str, Any], value: object) -> Iterator[str]:
        if key not in self._validators:
            whole = {**_json_schema(schema), "components": self._schemas(schema)}
            self._validators[key] = Draft4Validator(whole, format_checker=_FORMATS)
        for error in self._validators[key].iter_errors(value):
            yield f"{' '.join(key)}: {error.json_path}: {error.message[:300]}"

    def _schemas(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The component schemas that this one needs."""
        needed: dict[str, Any] = {}
        waiting = list(_references(schema))
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = _json_schema(self._components["schemas"][name])
                waiting += _references(needed[name])
        return {"schemas": needed}


def _match(template: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    """The values of the template's variables. Only a `ref` at the end can have several parts."""
    if template[-1] == "{ref}" and len(parts) > len(template):
        parts = [*parts[: len(template) - 1], "/".join(parts[len(template) - 1 :])]
    if len(template) != len(parts):
        return None
    values = {}
    for name, part in zip(template, parts, strict=True):
        if name.startswith("{"):
            values[name.strip("{}")] = part
        elif name != part:
            return None
    return values


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/components/schemas/")
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _json_schema(value: Any) -> Any:
    """OpenAPI 3.0's dialect as JSON Schema: null only where it is allowed, no property beyond those named."""
    if isinstance(value, list):
        return [_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _json_schema(item) for key, item in value.items() if key not in ("example", "examples", "nullable")}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
    return {"anyOf": [schema, {"type": "null"}]} if value.get("nullable") is True else schema
