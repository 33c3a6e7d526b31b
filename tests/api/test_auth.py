"""Authentication, and access to runs and artifacts."""

import httpx
import pytest

from moonmind_appliance.api.auth import bearer_token
from moonmind_appliance.errors import Unauthenticated
from tests.api.served import BASE, REQUEST, Served

NOBODY = "00000000-0000-0000-0000-000000000000"
OPEN = {"/health", "/ready", "/schema", "/schema/openapi.json"}


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("BEARER  a.b-c_d~e+f/g==", "a.b-c_d~e+f/g==")],
)
def test_a_bearer_token_is_read(header: str, token: str) -> None:
    """The scheme is case-insensitive; the token is RFC 6750's b64token."""
    assert bearer_token([header]) == token


@pytest.mark.parametrize(
    "headers",
    [[], [""], ["Bearer"], ["Bearer "], ["Basic YTpi"], ["Bearer a b"], ["Bearer ä"], ["Bearer a", "Bearer a"]],
)
def test_anything_else_is_no_token(headers: list[str]) -> None:
    """No header, two headers, another scheme or another form are refused."""
    with pytest.raises(Unauthenticated):
        bearer_token(headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/runs"),
        ("HEAD", "/runs"),
        ("POST", "/runs"),
        ("GET", f"/runs/{NOBODY}"),
        ("POST", f"/runs/{NOBODY}/cancel"),
        ("POST", f"/runs/{NOBODY}/retry"),
        ("GET", f"/runs/{NOBODY}/events"),
        ("GET", f"/runs/{NOBODY}/artifacts/{NOBODY}"),
        ("GET", f"/runs/{NOBODY}/artifacts/{NOBODY}/content"),
        ("HEAD", f"/runs/{NOBODY}/artifacts/{NOBODY}/content"),
        ("GET", "/shards"),
        ("GET", "/metrics"),
    ],
)
def test_every_route_but_health_and_the_schema_needs_a_token(shared: Served, method: str, path: str) -> None:
    """The answer is 401 with the challenge of RFC 6750, before any other check."""
    answer = shared.client(None).request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="moonmind-appliance"'


def test_the_list_of_routes_above_is_complete(shared: Served) -> None:
    """The routes that need no token in the description are those that answer without one."""
    paths = shared.client(None).get("/schema/openapi.json").json()["paths"]
    free = {
        path.removeprefix(BASE) for path, item in paths.items() if all(o.get("security") == [{}] for o in item.values())
    }
    assert free == {"/health", "/ready"}
    for path in OPEN:
        assert shared.client(None).get(path).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer mma_" + "x" * 43, "Bearer nonsense", "Basic YTpi", "Bearer", "Bearer a, Bearer b", "\xe4"]
)
def test_an_invalid_token_is_reported_as_invalid(shared: Served, header: str) -> None:
    """The challenge carries error="invalid_token"."""
    answer = shared.client(None).get("/runs", headers={"Authorization": header.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_elsewhere_does_not_count(shared: Served) -> None:
    """A token in the URL or in a cookie is ignored: both are stored in logs and histories."""
    token = shared.tokens["ann"]
    client = shared.client(None)
    assert client.get("/runs", params={"access_token": token}).status_code == 401
    assert client.get("/runs", headers={"Cookie": f"access_token={token}"}).status_code == 401


def test_a_revoked_token_ends_with_the_next_request(served: Served) -> None:
    """No cache accepts a revoked token."""
    ann = served.client("ann")
    assert ann.get("/runs").status_code == 200
    served.store.tokens.revoke("ann")
    assert ann.get("/runs").status_code == 401


def listed(client: httpx.Client) -> list[str]:
    return [run["run_id"] for run in client.get("/runs").json()["items"]]


def test_two_users_and_an_operator(served: Served) -> None:
    """Each user sees and controls their own runs; others' are 404, like missing ones; the operator has all."""
    ann, bob, olga = (served.client(name) for name in ("ann", "bob", "olga"))
    hers, his = served.submit("ann"), served.submit("bob")
    artifact = served.keep(hers, "plan.log", b"x").artifact_id
    assert (listed(ann), listed(bob), listed(olga)) == ([hers], [his], [his, hers])
    reads = [f"/runs/{hers}", f"/runs/{hers}/artifacts/{artifact}", f"/runs/{hers}/artifacts/{artifact}/content"]
    assert [[client.get(path).status_code for path in reads] for client in (ann, bob, olga)] == [
        [200, 200, 200],
        [404, 404, 404],
        [200, 200, 200],
    ]
    for path in (f"/runs/{hers}/events", reads[1], f"/runs/{hers}"):
        there, nowhere = bob.get(path).json(), bob.get(path.replace(hers, NOBODY)).json()
        assert {**there, "detail": there["detail"].replace(hers, NOBODY)} == nowhere
    assert bob.post(f"/runs/{hers}/cancel").status_code == 404
    assert bob.post(f"/runs/{hers}/retry").status_code == 404
    assert olga.post(f"/runs/{hers}/cancel").status_code == 202
    assert ann.post(f"/runs/{hers}/retry").status_code == 202
    assert [client.get("/shards").status_code for client in (ann, bob, olga)] == [403, 403, 200]


def test_an_artifact_is_reached_only_through_its_own_run(served: Served) -> None:
    """An artifact's id is searched only in the run of the URL."""
    hers, his = served.submit("ann"), served.submit("bob")
    artifact = served.keep(his, "plan.log", b"secret plan").artifact_id
    answer = served.client("ann").get(f"/runs/{hers}/artifacts/{artifact}/content")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_not_found")


def test_the_run_contains_its_submitter(served: Served) -> None:
    """The run contains the subject and the user name of the token."""
    run_id = str(served.client("bob").post("/runs", json=REQUEST).json()["run_id"])
    run = served.client("olga").get(f"/runs/{run_id}").json()
    assert run["created_by"] == {"subject": "local:bob", "username": "bob"}
