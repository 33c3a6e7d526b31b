"""The OpenAPI 3.1 document, and the page that shows it.

The appliance serves the page's assets: the server may have no internet access.
"""

import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIHeader,
    OpenAPIResponse,
    Operation,
    Parameter,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from litestar.response import File

from moonmind_appliance.api import schemas
from moonmind_appliance.api.paths import SCHEMA_PATH
from moonmind_appliance.api.problems import Problem, ProblemField
from moonmind_appliance.api.webhooks import describe_webhooks
from moonmind_appliance.models.repository import NAME_PATTERN, OWNER_PATTERN
from moonmind_appliance.runs.submit import (
    KEY_PATTERN,
    MAX_BRANCH_BYTES,
    MAX_EXTERNAL_REF,
    MAX_IDEMPOTENCY_KEY,
    SubmitRequest,
)
from moonmind_appliance.views import drain_view, run_detail, run_summary, shard_view

_DESCRIPTION = """\
A specification text in, a draft pull request out. Every request except health checks and this page needs
`Authorization: Bearer TOKEN`. Every error is `application/problem+json`; programs read its `code`.
Every response has an `X-Request-ID`, which also appears in the appliance's log."""

# The page runs an inline script of Litestar, and loads nothing from other origins.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


def openapi_config(version: str) -> OpenAPIConfig:
    """Litestar's configuration of the document and the page."""
    page = SwaggerRenderPlugin(
        path="/",
        js_url=f"{SCHEMA_PATH}/assets/swagger-ui-bundle.js",
        css_url=f"{SCHEMA_PATH}/assets/swagger-ui.css",
        standalone_preset_js_url=f"{SCHEMA_PATH}/assets/swagger-ui-standalone-preset.js",
        favicon=f"<link rel='icon' type='image/png' href='{SCHEMA_PATH}/assets/favicon-32x32.png'>",
    )
    return OpenAPIConfig(
        title="MoonMind appliance",
        version=version,
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        openapi_router=Router(
            SCHEMA_PATH, route_handlers=[get_asset], include_in_schema=False, after_request=_page_headers
        ),
        render_plugins=[page, JsonRenderPlugin()],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="A token of `moonmind-appliance token create`, or a Keycloak access token.",
                )
            }
        ),
        security=[{"bearer": []}],
        tags=[
            Tag(name="runs", description="Submit, follow, cancel and retry runs."),
            Tag(name="artifacts", description="Files that a run produces."),
            Tag(name="shards", description="Agent logins; each shard runs one run at a time."),
            Tag(name="health", description="For health probes and Prometheus."),
            Tag(name="webhook", description="Messages that the appliance sends to WEBHOOK_URL."),
        ],
    )


@get("/assets/{name:str}", sync_to_thread=True)
def get_asset(name: FromPath[str]) -> File:
    """A file of Swagger UI, from the installed package."""
    if name not in _ASSETS:
        raise NotFoundException
    return File(
        _assets() / name,
        filename=name,
        media_type=_ASSETS[name],
        content_disposition_type="inline",
        headers={"Cache-Control": "public, max-age=86400"},
    )


def _assets() -> Path:
    """The folder of the package swagger-ui-py, found without running its code."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise NotFoundException("The package swagger-ui-py is not installed.")
    return Path(spec.origin).parent / "static"


async def _page_headers(response: Response[Any]) -> Response[Any]:
    # Litestar answers unknown addresses below the schema with a page of its own.
    if response.status_code == 404:  # noqa: PLR2004 - HTTP's "not found"
        raise NotFoundException
    response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
    return response


def complete(app: Litestar) -> None:
    """Complete the document: headers of errors, limits of fields, descriptions of structs, the webhook's messages."""
    describe_webhooks(app.openapi_schema)
    for item in (app.openapi_schema.paths or {}).values():
        for operation in (item.get, item.put, item.post, item.delete):
            if operation is not None:
                _complete_operation(operation)
    described = (app.openapi_schema.components or Components()).schemas or {}
    answers = [
        value
        for module in (schemas, run_summary, run_detail, shard_view, drain_view)
        for value in vars(module).values()
    ]
    for struct in (*answers, SubmitRequest, Problem, ProblemField):
        if isinstance(struct, type) and struct.__name__ in described:
            described[struct.__name__].description = inspect.getdoc(struct)
    request = described["SubmitRequest"]
    request.additional_properties = False
    fields = request.properties or {}
    _limit(fields["repository"], pattern=rf"^{OWNER_PATTERN}/{NAME_PATTERN}$")
    _limit(fields["specify_text"], pattern=r"^[^\u0000]*\S[^\u0000]*$", max_length=256 * 1024)
    _limit(fields["base_branch"], min_length=1, max_length=MAX_BRANCH_BYTES)
    _limit(fields["external_ref"], max_length=MAX_EXTERNAL_REF)
    _limit(fields["shard"], minimum=0)
    request.examples = [
        {
            "repository": "MoonLadderStudios/moonmind",
            "base_branch": "main",
            "specify_text": "# Dark mode\n\n- Goal: people can switch the site to dark colours",
            "dry_run": False,
            "external_ref": "postman-demo-001",
        }
    ]


def _complete_operation(operation: Operation) -> None:
    for parameter in operation.parameters or []:
        if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
            # A header or query parameter is left out, never null.
            parameter.schema = _not_null(parameter.schema)
            if parameter.name == "Idempotency-Key":
                _limit(parameter.schema, pattern=f"^{KEY_PATTERN}$", max_length=MAX_IDEMPOTENCY_KEY)
    for status, response in (operation.responses or {}).items():
        if isinstance(response, OpenAPIResponse):
            _complete_response(status, response)


def _complete_response(status: str, response: OpenAPIResponse) -> None:
    headers = response.headers = dict(response.headers or {})
    for header in headers.values():
        if isinstance(header, OpenAPIHeader):
            header.schema = header.schema or Schema(type=OpenAPIType.STRING)
    for content in (response.content or {}).values():
        for example in (content.examples or {}).values():
            if isinstance(example, Example):
                # OpenAPI has no such field; Litestar writes it when it is set.
                example.id = None
    headers["X-Request-ID"] = _header("The request's id; it also appears in the log.")
    if status == "401":
        headers["WWW-Authenticate"] = _header("Bearer, with the reason if the request had a token (RFC 6750).")
    if status in {"429", "503"}:
        headers["Retry-After"] = _header("Seconds to wait before the next attempt.")
    if status in {"206", "416"}:
        headers["Content-Range"] = _header("The range of this response, or the size of the content.")


def _header(description: str) -> OpenAPIHeader:
    return OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), required=True, description=description)


def _limit(schema: Any, **limits: object) -> None:  # noqa: ANN401 - a schema or a reference
    """Set limits on a schema, or on the part of it that is not null."""
    target = _not_null(schema)
    for name, value in limits.items():
        setattr(target, name, value)


def _not_null(schema: Any) -> Any:  # noqa: ANN401 - a schema or a reference
    """The part of a schema that is not null."""
    return next((one for one in getattr(schema, "one_of", None) or [] if _type(one) != OpenAPIType.NULL), schema)


def _type(schema: Any) -> Any:  # noqa: ANN401 - a schema or a reference
    return getattr(schema, "type", None)
