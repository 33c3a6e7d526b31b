"""Artifacts over HTTP: metadata, and content, whole or in part."""

import io
import os
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get
from litestar.concurrency import sync_to_thread
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from moonmind_appliance.api.auth import require_token
from moonmind_appliance.api.paths import content_path
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.ranges import ByteRange, Unsatisfiable, is_current, wanted_range
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.errors import FileUnusable, NotFound
from moonmind_appliance.models import FINAL_RUN_STATUSES, Artifact
from moonmind_appliance.runs.visibility import visible_run
from moonmind_appliance.views.run_detail import ArtifactDetail, artifact_detail

_CHUNK = 256 * 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_EVERY = ("not_found", "run_not_found", "artifact_not_found", *BEHIND_A_TOKEN)


@get(
    "/",
    sync_to_thread=True,
    operation_id="get_artifact",
    summary="Get an artifact",
    response_description="The artifact, with the URL of its content.",
    responses=problems(*_EVERY),
)
def get_artifact(request: ApiRequest, run_id: FromPath[UUID], artifact_id: FromPath[UUID]) -> ArtifactDetail:
    """Get an artifact's metadata. `download_url` returns its content, with the same token."""
    artifact = _artifact(request, run_id, artifact_id)
    origin = str(request.base_url).rstrip("/")
    return artifact_detail(artifact, origin + content_path(artifact.run_id, artifact.artifact_id))


@get(
    "/content",
    sync_to_thread=True,
    media_type="*/*",
    operation_id="get_artifact_content",
    summary="Download an artifact",
    response_description="The whole content, in the artifact's own content type.",
    response_headers=[
        ResponseHeader(name, documentation_only=True, required=True, description=description)
        for name, description in (
            ("Content-Disposition", "attachment, with the artifact's name."),
            ("ETag", "The content's ETag: its SHA-256, or a weak tag while the content still grows."),
            ("Accept-Ranges", "bytes"),
        )
    ],
    responses={
        206: ResponseSpec(bytes, generate_examples=False, media_type="*/*", description="The requested range."),
        304: ResponseSpec(None, description="The caller already has this content (If-None-Match)."),
        **problems("artifact_gone", "artifact_damaged", "range_not_satisfiable", *_EVERY),
    },
)
def get_artifact_content(  # noqa: PLR0917 - Litestar calls handlers by name
    request: ApiRequest,
    run_id: FromPath[UUID],
    artifact_id: FromPath[UUID],
    bytes_range: Annotated[
        str | None, HeaderParameter(name="Range", description="One range: bytes=0-1023, bytes=1024- or bytes=-1024.")
    ] = None,
    if_range: Annotated[
        str | None,
        HeaderParameter(
            name="If-Range", description="Send the range only if the ETag matches; otherwise send the whole content."
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, HeaderParameter(name="If-None-Match", description="Send no content if one of these ETags matches.")
    ] = None,
) -> Response[Any]:
    """Get an artifact's content, redacted when it was stored. A growing log returns its current content."""
    artifact = _artifact(request, run_id, artifact_id)
    file = _open(request, artifact)
    state = os.fstat(file.fileno())
    if state.st_size < artifact.size_bytes:
        _refuse_if_damaged(request, artifact, state.st_size)
    complete = state.st_size == artifact.size_bytes
    etag = f'"{artifact.sha256}"' if complete else f'W/"{state.st_size}-{state.st_mtime_ns}"'
    headers = _headers(artifact, etag)
    if is_current(if_none_match, etag):
        return Response(b"", status_code=304, headers=headers)
    try:
        part = wanted_range(bytes_range, if_range, size=state.st_size, etag=etag)
    except Unsatisfiable:
        raise HTTPException(
            f"The content has {state.st_size} bytes; the range starts after the end.",
            status_code=416,
            headers={"Content-Range": f"bytes */{state.st_size}"},
        ) from None
    if part is None:
        return _content(artifact, file, ByteRange(0, state.st_size - 1), 200, headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.end}/{state.st_size}"
    return _content(artifact, file, part, 206, headers)


def _artifact(request: ApiRequest, run_id: UUID, artifact_id: UUID) -> Artifact:
    resources = request.parts.resources
    run = visible_run(resources.store, request.actor, str(run_id))
    artifact = resources.store.artifacts.get(run.run_id, str(artifact_id))
    if artifact is None:
        raise NotFound(
            f"Run {run.run_id} has no artifact {artifact_id}.",
            hint="`GET` on the run lists its artifacts.",
            code="artifact_not_found",
        )
    return artifact


def _open(request: ApiRequest, artifact: Artifact) -> io.FileIO:
    path = request.parts.resources.files.path(artifact.storage_path)
    try:
        file = io.FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
    except FileNotFoundError:
        raise NotFound("The artifact's file no longer exists.", code="artifact_gone") from None
    except OSError as error:
        raise FileUnusable(f"{path} cannot be read: {error.strerror}.") from error
    request.at_end(file.close)
    return file


def _refuse_if_damaged(request: ApiRequest, artifact: Artifact, size: int) -> None:
    """The file of a run that has not ended may just be replaced by a shorter one; later it does not change any more."""
    run = request.parts.resources.store.runs.get(artifact.run_id, text=False)
    if run is not None and run.status in FINAL_RUN_STATUSES:
        raise FileUnusable(
            f"{artifact.storage_path} has {size} bytes instead of {artifact.size_bytes}: another program changed it."
        )


def _headers(artifact: Artifact, etag: str) -> dict[str, str]:
    """Headers that keep a browser from running what an agent wrote."""
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{_UNSAFE.sub("_", artifact.name)}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def _content(
    artifact: Artifact, file: io.FileIO, part: ByteRange, status: int, headers: dict[str, str]
) -> Response[Any]:
    # Litestar would add a second charset, and would send a stream with the media type of the route's description.
    kind = artifact.content_type
    headers["Content-Type"] = f"{kind}; charset=utf-8" if kind.startswith("text/") and "charset=" not in kind else kind
    if part.length <= _CHUNK:
        data = os.pread(file.fileno(), max(part.length, 0), part.start)
        return Response(data, status_code=status, headers=headers)
    headers["Content-Length"] = str(part.length)
    return Stream(_chunks(file, part), status_code=status, headers=headers)


async def _chunks(file: io.FileIO, part: ByteRange) -> AsyncIterator[bytes]:
    position = part.start
    while position <= part.end:
        data = await sync_to_thread(os.pread, file.fileno(), min(_CHUNK, part.end + 1 - position), position)
        if not data:
            return
        position += len(data)
        yield data


artifacts_router = Router(
    "/runs/{run_id:uuid}/artifacts/{artifact_id:uuid}",
    route_handlers=[get_artifact, get_artifact_content],
    guards=[require_token],
    tags=["artifacts"],
)
