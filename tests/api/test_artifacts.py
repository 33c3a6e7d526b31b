"""Artifacts over HTTP: detail, bytes, ranges, and headers that keep a browser from running them."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.api.served import Served

LARGE = bytes(range(256)) * 5000


def test_the_detail_has_every_field_in_order(served: Served) -> None:
    """The detail has the list's fields, then download URL, hash, phase and time."""
    run_id = served.submit()
    kept = served.keep(run_id, "plan.log", b"planned")
    detail = served.client().get(f"/runs/{run_id}/artifacts/{kept.artifact_id}").json()
    assert list(detail) == [
        "artifact_id",
        "name",
        "artifact_type",
        "storage_path",
        "content_type",
        "size_bytes",
        "expires_at",
        "download_url",
        "sha256",
        "source_phase",
        "created_at",
    ]
    assert detail["sha256"] == hashlib.sha256(b"planned").hexdigest()
    assert detail["source_phase"] == "speckit_plan"


def test_the_download_url_gives_the_bytes(served: Served) -> None:
    """The URL uses the host of the caller's request, and works with the same token."""
    run_id = served.submit()
    kept = served.keep(run_id, "plan.log", b"planned")
    ann = served.client()
    url = ann.get(f"/runs/{run_id}/artifacts/{kept.artifact_id}").json()["download_url"]
    assert url.startswith(served.address)
    assert ann.get(url).content == b"planned"


def test_the_bytes_come_with_their_own_type_and_are_not_run(served: Served) -> None:
    """An agent's HTML is sent as a sandboxed download that a browser does not render."""
    run_id = served.submit()
    kept = served.keep(run_id, "page.html", b"<script>alert(1)</script>", "text/html")
    answer = served.client().get(f"/runs/{run_id}/artifacts/{kept.artifact_id}/content")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{kept.sha256}"'
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize(
    "stored", ["text/plain; charset=utf-8", "text/markdown", "application/json", "text/x; charset=latin-1"]
)
def test_the_content_type_is_the_artifacts_own(served: Served, stored: str, size: int) -> None:
    """Small content, streamed content and ranges have it, with one charset."""
    run_id = served.submit()
    kept = served.keep(run_id, "a.txt", b"a" * size, stored)
    for headers in ({}, {"Range": "bytes=1-"}):
        answer = served.client().get(f"/runs/{run_id}/artifacts/{kept.artifact_id}/content", headers=headers)
        expected = f"{stored}; charset=utf-8" if stored == "text/markdown" else stored
        assert answer.headers.get_list("content-type") == [expected]


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, 1_279_999),
        ("bytes=-5", 1_279_995, 1_279_999),
        ("bytes=1000000-9999999", 1_000_000, 1_279_999),
    ],
)
def test_a_part_is_206(served: Served, header: str, start: int, end: int) -> None:
    """Small and large ranges are answered with their position in the content."""
    run_id = served.submit()
    kept = served.keep(run_id, "large.bin", LARGE, "application/octet-stream")
    answer = served.client().get(f"/runs/{run_id}/artifacts/{kept.artifact_id}/content", headers={"Range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end}/1280000"
    assert answer.headers["content-length"] == str(end + 1 - start)
    assert answer.content == LARGE[start : end + 1]


def test_whole_contents_of_any_size(served: Served) -> None:
    """Empty, small and chunked contents are sent completely; HEAD reports their size."""
    run_id = served.submit()
    for name, content in (("none", b""), ("little", b"x"), ("large", LARGE)):
        path = f"/runs/{run_id}/artifacts/{served.keep(run_id, name, content).artifact_id}/content"
        answer, head = served.client().get(path), served.client().head(path)
        assert answer.content == content
        assert answer.headers["content-length"] == head.headers["content-length"] == str(len(content))
        assert (head.status_code, head.content) == (200, b"")


def test_a_range_after_the_end_is_416(served: Served) -> None:
    """The answer contains the size, so that the caller knows the end."""
    run_id = served.submit()
    path = f"/runs/{run_id}/artifacts/{served.keep(run_id, 'a', b'12345').artifact_id}/content"
    answer = served.client().get(path, headers={"Range": "bytes=5-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */5"


def test_content_that_the_caller_has_is_not_sent_again(served: Served) -> None:
    """The current tag is answered with 304; a range with another tag gets the whole content."""
    run_id = served.submit()
    kept = served.keep(run_id, "a", b"12345")
    path, ann = f"/runs/{run_id}/artifacts/{kept.artifact_id}/content", served.client()
    same = ann.get(path, headers={"If-None-Match": f'"{kept.sha256}"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", f'"{kept.sha256}"')
    part = {"Range": "bytes=0-1"}
    assert ann.get(path, headers=part | {"If-Range": f'"{kept.sha256}"'}).status_code == 206
    assert ann.get(path, headers=part | {"If-Range": '"older"'}).status_code == 200


def test_a_growing_log_gives_its_current_content(served: Served) -> None:
    """Its tag is weak and changes as it grows; a range continues where the caller stopped."""
    run_id = served.submit()
    kept = served.keep(run_id, "log", b"one\n")
    path, ann = f"/runs/{run_id}/artifacts/{kept.artifact_id}/content", served.client()
    with served.parts.resources.files.path(kept.storage_path).open("ab") as file:
        file.write(b"two\n")
    answer = ann.get(path)
    assert answer.content == b"one\ntwo\n"
    assert answer.headers["etag"].startswith('W/"')
    assert ann.get(path, headers={"Range": "bytes=4-"}).content == b"two\n"


def test_bytes_that_are_gone_are_404(served: Served) -> None:
    """The record may exist after retention has deleted the file."""
    run_id = served.submit()
    kept = served.keep(run_id, "log", b"x")
    served.parts.resources.files.remove_run(run_id)
    answer = served.client().get(f"/runs/{run_id}/artifacts/{kept.artifact_id}/content")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_gone")


def test_a_path_out_of_the_data_folder_is_never_followed(served: Served, tmp_path: Path) -> None:
    """Neither a link among the artifacts nor a manipulated record leads out of the data folder."""
    run_id = served.submit()
    kept = served.keep(run_id, "log", b"x")
    file = served.parts.resources.files.path(kept.storage_path)
    file.unlink()
    file.symlink_to(tmp_path / "appliance.db")
    with served.store.database.write() as connection:
        connection.execute(
            "INSERT INTO artifacts SELECT '00000000-0000-4000-8000-000000000000', run_id, 'other', artifact_type,"
            " '../appliance.db', content_type, size_bytes, sha256, source_phase, created_at, expires_at"
            " FROM artifacts"
        )
    for artifact in served.store.artifacts.list(run_id):
        answer = served.client().get(f"/runs/{run_id}/artifacts/{artifact.artifact_id}/content")
        assert (answer.status_code, answer.json()["code"]) == (404, "artifact_gone")


def test_files_are_closed_when_the_answer_is_out(served: Served) -> None:
    """No descriptor stays open after a whole, partial, not modified or refused answer."""
    run_id = served.submit()
    kept = served.keep(run_id, "large", LARGE)
    path, ann = f"/runs/{run_id}/artifacts/{kept.artifact_id}/content", served.client()
    file = str(served.parts.resources.files.path(kept.storage_path))
    for headers in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=9999999-"}, {"If-None-Match": "*"}):
        ann.get(path, headers=headers)
        ann.head(path, headers=headers)
    ann.get("/health")
    assert file not in {os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("damage", ["cut", "folder"])
def test_a_damaged_file_is_an_error_of_its_own(served: Served, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half an artifact must not look like a whole one; the log has the file, the answer does not."""
    run_id = served.submit()
    served.take(run_id)
    kept = served.keep(run_id, "log", LARGE)
    file = served.parts.resources.files.path(kept.storage_path)
    path = f"/runs/{run_id}/artifacts/{kept.artifact_id}/content"
    if damage == "cut":
        os.truncate(file, 100)
        assert served.client().get(path).status_code == 200, "of a run that goes on, a file may be replaced just now"
    else:
        file.unlink()
        file.mkdir()
    served.finish(run_id)
    answer = served.client().get(path)
    assert (answer.status_code, answer.json()["code"]) == (500, "artifact_damaged")
    assert kept.storage_path in caplog.text
    assert kept.storage_path not in answer.text
