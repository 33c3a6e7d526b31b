"""Features of HTTP: HEAD, common headers, and refusals while a body is still being received."""

import httpx
import pytest

from moonmind_appliance.api.problems import PROBLEMS
from moonmind_appliance.api.wire import MAX_COOKIE_BYTES, MAX_PATH_BYTES, MAX_QUERY_BYTES, common_headers, with_head
from tests.api.served import REQUEST, Served

JSON = {"Content-Type": "application/json"}


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


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_any_size_gets_its_answer(served: Served, *, announced: bool) -> None:
    """The caller of 10 MiB receives 413, with a declared length or with chunks."""
    body = b'{"specify_text":"' + b"A" * 10 * 1024**2 + b'"}'
    content = body if announced else (body[start : start + 65536] for start in range(0, len(body), 65536))
    assert problem(served.client().post("/runs", content=content, headers=JSON)) == (413, "too_large")


def test_a_large_body_without_a_token_gets_its_401(served: Served) -> None:
    """The caller receives the refusal although the server does not parse the body."""
    answer = served.client(None).post("/runs", json=REQUEST | {"specify_text": "A" * 1_500_000})
    assert problem(answer) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("allow", "expected"),
    [(b"GET", b"GET, HEAD"), (b"POST, OPTIONS", b"OPTIONS, POST"), (b"OPTIONS,GET", b"GET, HEAD, OPTIONS")],
)
def test_a_route_that_answers_get_allows_head(allow: bytes, expected: bytes) -> None:
    """Litestar does not list it."""
    assert with_head(allow) == expected


@pytest.mark.parametrize("given", [b"no-store", b"public, max-age=1"])
def test_a_handler_decides_whether_its_response_is_cached(given: bytes) -> None:
    """Without its header nothing is cached; the id is always there."""
    own = dict(common_headers([(b"cache-control", given)], "id-1"))
    assert (own[b"cache-control"], own[b"x-request-id"]) == (given, b"id-1")
    assert dict(common_headers([], "id-1"))[b"cache-control"] == b"no-store"


@pytest.mark.parametrize(
    "address", [f"/runs/{'x' * MAX_PATH_BYTES}", f"/runs?external_ref={'x' * MAX_QUERY_BYTES}"], ids=["path", "query"]
)
def test_an_address_that_is_too_long_is_414(shared: Served, address: str) -> None:
    """Litestar would keep it in a cache."""
    answer = shared.client().get(address)
    assert (answer.status_code, answer.json()["code"]) == (414, "address_too_long")


def test_a_long_cookie_is_ignored(shared: Served) -> None:
    """The API reads none."""
    answer = shared.client().get("/health", headers={"Cookie": f"a={'x' * MAX_COOKIE_BYTES}"})
    assert answer.status_code == 200


def test_head_is_get_without_a_body(served: Served) -> None:
    """HEAD has GET's status and headers; a probe's HEAD works, too."""
    ann, run_id = served.client(), served.submit()
    for path in (f"/runs/{run_id}", "/runs", "/health"):
        get, head = ann.get(path), ann.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
