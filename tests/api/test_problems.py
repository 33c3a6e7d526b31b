"""One shape for every error. This file pins it: status, code, headers."""

import ast
import errno
import logging
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import moonmind_appliance
from moonmind_appliance.api.problems import PROBLEMS
from moonmind_appliance.errors import Unauthenticated, Unavailable
from moonmind_appliance.models import Actor, RunStatus
from tests.api.served import BASE, REQUEST, Served, serve

JSON = {"Content-Type": "application/json"}
NOBODY = "00000000-0000-0000-0000-000000000000"


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Check the shape; the status and the code."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert list(body) == ["type", "title", "status", "detail", "code", "errors"]
    assert body["type"] == f"urn:moonmind-appliance:problem:{body['code']}"
    assert body["status"] == answer.status_code
    assert body["title"] == PROBLEMS[body["code"]].title
    assert body["detail"].endswith(".")
    assert all(list(error) == ["field", "message"] for error in body["errors"])
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing/here", (404, "not_found")),
        ("GET", "/schema/nothing", (404, "not_found")),
        ("GET", "/schema/assets/nothing", (404, "not_found")),
        ("GET", "/runs/not-an-id", (404, "not_found")),
        ("GET", f"/runs/{NOBODY}", (404, "run_not_found")),
        ("GET", f"/runs/{NOBODY}/events", (404, "run_not_found")),
        ("GET", f"/runs/{NOBODY}/artifacts/{NOBODY}", (404, "run_not_found")),
        ("GET", f"/runs/{NOBODY}/artifacts/{NOBODY}/content", (404, "run_not_found")),
        ("POST", f"/runs/{NOBODY}/cancel", (404, "run_not_found")),
        ("POST", f"/runs/{NOBODY}/retry", (404, "run_not_found")),
        ("GET", "/runs?limit=0", (400, "invalid_request")),
        ("GET", "/runs?limit=x", (400, "invalid_request")),
        ("GET", "/runs?status=done", (400, "invalid_request")),
        ("GET", "/runs?cursor=abc", (400, "invalid_request")),
        ("GET", "/runs?stauts=queued", (400, "invalid_request")),
        ("PUT", "/runs", (405, "method_not_allowed")),
        ("DELETE", f"/runs/{NOBODY}", (405, "method_not_allowed")),
        ("POST", "/health", (405, "method_not_allowed")),
        ("GET", "/shards", (403, "operator_only")),
        ("GET", "/metrics", (403, "operator_only")),
    ],
)
def test_each_refusal_has_its_code(shared: Served, method: str, path: str, expected: tuple[int, str]) -> None:
    """Errors of routing, parameters and permissions: Litestar's own errors have the API's shape."""
    assert problem(shared.client().request(method, path)) == expected


@pytest.mark.parametrize(
    ("body", "headers", "expected", "fields"),
    [
        (b"", JSON, (400, "malformed_json"), []),
        (b"{", JSON, (400, "malformed_json"), []),
        (b"\xff\xfe", JSON, (400, "malformed_json"), []),
        (b'{"repository":"\xff"}', JSON, (400, "malformed_json"), []),
        (b'{"repository":"\\ud800"}', JSON, (400, "malformed_json"), []),
        (b'{"shard":NaN}', JSON, (400, "malformed_json"), []),
        (b'{"shard":1e999}', JSON, (400, "malformed_json"), []),
        (b'{"shard":' + b"9" * 5000 + b"}", JSON, (400, "malformed_json"), []),
        (b"[" * 200_000, JSON, (400, "malformed_json"), []),
        (b'{"a":' * 100_000, JSON, (400, "malformed_json"), []),
        (b"[]", JSON, (400, "invalid_request"), []),
        (b'"text"', JSON, (400, "invalid_request"), []),
        (b"null", JSON, (400, "invalid_request"), []),
        (b"{}", JSON, (400, "invalid_request"), ["repository", "specify_text"]),
        (
            b'{"repository":1,"specify_text":null,"dry_run":"true","shard":"0","colour":"red"}',
            JSON,
            (400, "invalid_request"),
            ["colour", "repository", "specify_text", "dry_run", "shard"],
        ),
        (
            b'{"repository":"a","specify_text":" ","base_branch":"-x","shard":99}',
            JSON,
            (400, "invalid_request"),
            ["repository", "specify_text", "base_branch", "shard"],
        ),
        (b"{}", {}, (415, "unsupported_media_type"), []),
        (b"{}", {"Content-Type": "text/plain"}, (415, "unsupported_media_type"), []),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, (415, "unsupported_media_type"), []),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, (415, "unsupported_media_type"), []),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_cannot_be_used_is_the_callers_error(
    shared: Served, body: bytes, headers: dict[str, str], expected: tuple[int, str], fields: list[str]
) -> None:
    """No body causes a 5xx; the answer names every invalid field."""
    answer = shared.client().post("/runs", content=body, headers=headers)
    assert problem(answer) == expected
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert shared.store.run_lists.queued() == []


def test_a_key_that_comes_twice_counts_as_its_last(served: Served) -> None:
    """The last value counts, as in JavaScript; it causes no server error."""
    body = b'{"repository":"a/b","repository":"c/d","specify_text":"x"}'
    answer = served.client().post("/runs", content=body, headers=JSON)
    assert answer.status_code == 202
    assert served.store.run_lists.queued()[0].repository == "c/d"


def test_invented_names_are_cut_in_the_response(served: Served) -> None:
    """Names of unknown fields are cut, and only some are listed."""
    body = {f"{number}{'x' * 1000}": 1 for number in range(500)}
    answer = served.client().post("/runs", json=REQUEST | body)
    assert problem(answer) == (400, "invalid_request")
    assert len(answer.json()["errors"]) == 100
    assert len(answer.content) < 40_000


@pytest.mark.parametrize("escaped", [False, True])
def test_a_text_at_its_limit_fits_however_it_is_escaped(served: Served, *, escaped: bool) -> None:
    r"""256 KiB of UTF-8 may be 1.5 MiB of JSON when each character is written as \u00xx."""
    text = "\\u0041" * 262_144 if escaped else "A" * 262_144
    body = f'{{"repository":"a/b","specify_text":"{text}"}}'.encode()
    answer = served.client().post("/runs", content=body, headers=JSON)
    assert answer.status_code == 202
    assert served.store.runs.specification(answer.json()["run_id"]) == "A" * 262_144


def test_a_longer_text_is_413(served: Served) -> None:
    """One byte over the limit is refused, and the answer names the field."""
    answer = served.client().post("/runs", json=REQUEST | {"specify_text": "A" * 262_145})
    assert problem(answer) == (413, "too_large")
    assert [error["field"] for error in answer.json()["errors"]] == ["specify_text"]


def test_405_lists_the_allowed_methods(served: Served) -> None:
    """The answer lists HEAD wherever it lists GET."""
    assert served.client().put("/runs").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert served.client().post("/health").headers["allow"] == "GET, HEAD, OPTIONS"


def test_states_that_do_not_allow_it_are_409(served: Served) -> None:
    """Cancel of an ended run, retry of a successful one, and a used key with another body are refused."""
    ann = served.client()
    run_id = served.submit()
    assert problem(ann.post(f"/runs/{run_id}/retry")) == (409, "run_not_retryable")
    served.take(run_id)
    served.finish(run_id, RunStatus.SUCCEEDED)
    assert problem(ann.post(f"/runs/{run_id}/cancel")) == (409, "run_final")
    assert problem(ann.post(f"/runs/{run_id}/retry")) == (409, "run_not_retryable")
    key = {"Idempotency-Key": "k"}
    assert ann.post("/runs", json=REQUEST, headers=key).status_code == 202
    answer = ann.post("/runs", json=REQUEST | {"dry_run": True}, headers=key)
    assert problem(answer) == (409, "idempotency_key_reused")


def test_a_repository_that_is_not_allowed_is_403(tmp_path: Path) -> None:
    """The answer has the setting's name, so that the operator knows what to change."""
    with serve(tmp_path, spec_workflow_github_repository=("acme/api",)) as served:
        answer = served.client().post("/runs", json=REQUEST)
        assert problem(answer) == (403, "repository_not_allowed")


def test_a_full_disk_is_503_with_a_time(tmp_path: Path) -> None:
    """The code is `disk_blocked`; stored data can still be read."""
    with serve(tmp_path, min_free_disk=1 << 60) as served:
        answer = served.client().post("/runs", json=REQUEST)
        assert problem(answer) == (503, "disk_blocked")
        assert answer.headers["retry-after"] == "60"
        assert served.client().get("/runs").json() == {"items": [], "next_cursor": None}


def test_a_stopping_appliance_is_503_with_a_time(served: Served) -> None:
    """New work is refused with `draining`; reads still work."""
    run_id = served.submit()
    served.parts.resources.stopping.set()
    answer = served.client().post("/runs", json=REQUEST)
    assert problem(answer) == (503, "draining")
    assert int(answer.headers["retry-after"]) > 0
    assert problem(served.client().post(f"/runs/{run_id}/retry")) == (503, "draining")
    assert served.client().get(f"/runs/{run_id}").status_code == 200


def test_a_database_that_cannot_be_used_is_503(served: Served) -> None:
    """Work that was not stored never gets a 2xx; the reason is in the log, not in the answer."""
    served.store.close()
    answer = served.client().post("/runs", json=REQUEST)
    assert problem(answer) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert str(served.parts.resources.settings.moonmind_data_dir) not in answer.text


def test_an_unexpected_error_is_500_with_the_requests_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the details with that id; the answer has none of them."""

    def broken(_: str) -> Actor | None:
        raise ZeroDivisionError("inner details")

    with serve(tmp_path, authenticate=broken) as served:
        answer = served.client().get("/runs", headers={"X-Request-ID": "mine-1"})
    assert problem(answer) == (500, "internal_error")
    assert answer.headers["x-request-id"] == "mine-1"
    assert "mine-1" in answer.json()["detail"]
    assert "inner details" not in answer.text
    assert "inner details" in caplog.text
    assert "Request mine-1 failed" in caplog.text


@pytest.mark.parametrize(
    ("raised", "expected", "header"),
    [
        (
            Unauthenticated('The token has "expired".'),
            (401, "unauthenticated"),
            (
                "www-authenticate",
                'Bearer realm="moonmind-appliance", error="invalid_token", error_description="The token has expired."',
            ),
        ),
        (
            Unavailable("Keycloak does not answer.", code="unavailable", retry_after=7),
            (503, "unavailable"),
            ("retry-after", "7"),
        ),
    ],
)
def test_errors_of_authentication_become_responses(
    tmp_path: Path, raised: Exception, expected: tuple[int, str], header: tuple[str, str]
) -> None:
    """The caller receives the identity provider's reasons; if it is down, the token is not called invalid."""

    def refuse(_: str) -> Actor | None:
        raise raised

    with serve(tmp_path, authenticate=refuse) as served:
        answer = served.client().get("/runs")
    assert problem(answer) == expected
    assert answer.headers[header[0]] == header[1]


def test_every_code_that_the_code_raises_is_in_the_table() -> None:
    """A code without a status and a title cannot be documented: each is in `PROBLEMS`."""
    package = Path(moonmind_appliance.__file__).parent
    only_elsewhere = {"token_name_taken", "token_file_unusable", "run_not_final"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for code in codes_of(node):
                assert code in PROBLEMS or code in only_elsewhere, f"{path.name}: {code}"


def codes_of(node: ast.AST) -> list[Any]:
    """The constant `code=` of raised request errors, and the `default_code` of their classes."""
    names = {"InvalidRequest", "Unauthenticated", "Forbidden", "NotFound", "Conflict", "TooLarge", "Unavailable"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
        return [
            word.value.value for word in node.keywords if word.arg == "code" and isinstance(word.value, ast.Constant)
        ]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "default_code":
        return [node.value.value] if isinstance(node.value, ast.Constant) else []
    return []


def test_a_caller_that_disconnects_is_not_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An incomplete body causes no error in the log."""
    caplog.set_level(logging.INFO, "moonmind_appliance.api")
    with serve(tmp_path) as served:
        host, port = served.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                f"POST {BASE}/runs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {served.tokens['ann']}\r\n"
                'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"reposi'.encode()
            )
    assert "disconnected" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("raised", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_exhausted_resources_are_503(tmp_path: Path, raised: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """They are no bug; the request may succeed later."""

    def exhausted(_: str) -> Actor | None:
        raise raised

    with serve(tmp_path, authenticate=exhausted) as served:
        answer = served.client().get("/runs")
    assert problem(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "too little memory, or too many open files" in caplog.text
    assert "Traceback" not in caplog.text
