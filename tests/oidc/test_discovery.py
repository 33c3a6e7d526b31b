"""Keycloak's documents: only complete ones, of limited size, from its own address."""

import json
from collections.abc import Iterator

import httpx
import pytest

from moonmind_appliance.oidc.discovery import LARGEST_ANSWER, Discovery, ProviderProblem, discover, get_json
from moonmind_appliance.oidc.keys import KEYS_FRESH_SECONDS, KEYS_LONGEST_SECONDS, MOST_KEYS
from moonmind_appliance.oidc.verifier import OidcVerifier
from tests.oidc.clock import Clock
from tests.oidc.realm_server import PATH, RealmServer

CERTS = f"{PATH}/certs"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def realm(clock: Clock) -> Iterator[RealmServer]:
    with RealmServer(clock) as server:
        yield server


@pytest.fixture
def verifier(realm: RealmServer, clock: Clock) -> Iterator[OidcVerifier]:
    given = {"issuer": realm.issuer, "client_id": "api-service", "operator_role": "operator"}
    with OidcVerifier(**given, clock=clock, age_clock=clock) as made:
        yield made


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"keys": [{"kid": f"k{n}", "kty": "RSA"} for n in range(MOST_KEYS + 1)]}).encode(),
        b'{"keys":[' + b" " * LARGEST_ANSWER + b"]}",
    ],
    ids=["many keys", "much text"],
)
def test_an_endless_response_is_not_read(realm: RealmServer, verifier: OidcVerifier, clock: Clock, body: bytes) -> None:
    """The previous keys stay until their time."""
    token = realm.token(exp=int(clock()) + 10 * KEYS_LONGEST_SECONDS)
    verifier.verify(token)
    realm.answers[CERTS] = (200, body)
    clock.now += KEYS_FRESH_SECONDS + 1
    assert verifier.verify(token).subject == "subject-1"
    assert verifier.status().reachable is False


def answering(handler):
    return httpx.Client(transport=httpx.MockTransport(handler))


def test_an_internal_url_replaces_the_origin_of_every_endpoint() -> None:
    """Paths stay; the issuer stays the public one. An endpoint that the document leaves out stays empty."""
    document = {
        "issuer": "http://other",
        "jwks_uri": "https://public/realm/certs",
        "token_endpoint": "https://public/t",
    }

    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://keycloak:8080/realm/.well-known/openid-configuration"
        return httpx.Response(200, json=document)

    found = discover(answering(handler), "https://public/realm", "http://keycloak:8080")
    assert found == Discovery("https://public/realm", "http://keycloak:8080/realm/certs", "http://keycloak:8080/t", "")


def test_another_issuer_is_a_problem() -> None:
    """Without an internal URL both must be equal: an address that is nearly right verifies nothing."""
    document = {"issuer": "https://public/other", "jwks_uri": "https://public/certs"}
    client = answering(lambda _: httpx.Response(200, json=document))
    with pytest.raises(ProviderProblem, match=r"reports the issuer https://public/other, but OIDC_ISSUER_URL is"):
        discover(client, "https://public/realm")


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(302, headers={"location": "https://elsewhere"}), "returned 302"),
        (httpx.Response(200, content=b"<html>"), "cannot be read"),
        (httpx.Response(200, json=["a"]), "cannot be read"),
        (httpx.Response(200, content=b'{"issuer": "\xff"}'), "cannot be read"),
        (httpx.Response(200, content=b"[" * 5000), "cannot be read"),
        (httpx.Response(200, content=b" " * (LARGEST_ANSWER + 1)), "larger than"),
    ],
)
def test_a_document_that_is_none_is_a_problem(response: httpx.Response, message: str) -> None:
    """Of the wrong status, shape or size; no redirect is followed."""
    with pytest.raises(ProviderProblem, match=message):
        get_json(answering(lambda _: response), "https://public/x", Discovery)


@pytest.mark.parametrize(
    ("error", "text"), [(httpx.ReadTimeout("x"), "timed out"), (httpx.ConnectError("refused"), "refused")]
)
def test_no_answer_is_a_problem_with_its_reason(error: httpx.HTTPError, text: str) -> None:
    """A time limit is named as such."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ProviderProblem, match=rf"does not respond at https://public/x \({text}\)"):
        get_json(answering(handler), "https://public/x", Discovery)
