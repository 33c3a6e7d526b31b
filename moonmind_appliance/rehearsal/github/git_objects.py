"""The stand-in's part of GitHub's Git database: trees and blobs, read only.

Rules and messages are those of GitHub's docs and OpenAPI description.
"""

import base64
import re
from typing import Any

from litestar import get
from litestar.params import FromPath

from moonmind_appliance.rehearsal.github.bare_repository import TreeObject
from moonmind_appliance.rehearsal.github.injected import REPOSITORY, AnyRequest, InjectedShapes, RequestedRepository
from moonmind_appliance.rehearsal.github.refusals import Refused, not_found
from moonmind_appliance.rehearsal.github.shapes import node

_DATABASE = f"{REPOSITORY}/git"
_BLOBS = "/git/blobs#get-a-blob"
_TREES = "/git/trees#get-a-tree"
_MOST_ENTRIES = 100_000
# GitHub breaks the lines of base64 after this many characters.
_LINE = 60


@get(f"{_DATABASE}/trees/{{tree_sha:str}}", operation=_TREES, needs=("contents:read",), sync_to_thread=True)
def get_tree(
    request: AnyRequest, repository: RequestedRepository, tree_sha: FromPath[str], shapes: InjectedShapes
) -> dict[str, Any]:
    """A tree by its id, its commit's, or a branch; with any value of `recursive`, all trees below it."""
    if not repository.bare.heads():
        raise Refused(409, "Git Repository is empty.", operation=_TREES)
    found = repository.bare.tree(tree_sha, recursive="recursive" in request.query_params)
    if found is None:
        raise not_found(_TREES)
    sha, entries = found
    url = f"{shapes.url(repository)}/git"
    return {
        "sha": sha,
        "url": f"{url}/trees/{sha}",
        "tree": [_entry(url, entry) for entry in entries[:_MOST_ENTRIES]],
        "truncated": len(entries) > _MOST_ENTRIES,
    }


def _entry(url: str, entry: TreeObject) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "path": entry.path.encode(errors="surrogateescape").decode(errors="replace"),
        "mode": entry.mode,
        "type": entry.kind,
        "sha": entry.sha,
    }
    if entry.size is not None:
        shape["size"] = entry.size
    if entry.kind != "commit":
        shape["url"] = f"{url}/{entry.kind}s/{entry.sha}"
    return shape


@get(f"{_DATABASE}/blobs/{{file_sha:str}}", operation=_BLOBS, needs=("contents:read",), sync_to_thread=True)
def get_blob(repository: RequestedRepository, file_sha: FromPath[str], shapes: InjectedShapes) -> dict[str, Any]:
    """A file's content as base64, in lines."""
    if not re.fullmatch("[0-9a-f]{40}", file_sha):
        message = "The sha parameter must be exactly 40 characters and contain only [0-9a-f]."
        raise Refused(422, message, operation=_BLOBS)
    content = repository.bare.blob(file_sha)
    if content is None:
        raise not_found(_BLOBS)
    coded = base64.b64encode(content).decode("ascii")
    return {
        "sha": file_sha,
        "node_id": node("Blob", f"{repository.repository_id}:{file_sha}"),
        "size": len(content),
        "url": f"{shapes.url(repository)}/git/blobs/{file_sha}",
        "content": "".join(f"{coded[start : start + _LINE]}\n" for start in range(0, len(coded), _LINE)),
        "encoding": "base64",
    }
