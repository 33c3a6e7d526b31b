"""Each kind of invalid token has its code. Keys are generated here; test_keycloak.py uses a real Keycloak."""

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwk

from moonmind_appliance.errors import Unauthenticated
from moonmind_appliance.models import Actor
from moonmind_appliance.oidc.verifier import OidcVerifier, own_subject
from tests.oidc.realm_server import RealmServer, packed, public, sign, signing_key

NOW = 1_800_000_000
HOUR = 3600


def clock() -> float:
    return NOW + 0.5


def verifier_for(realm: RealmServer) -> OidcVerifier:
    return OidcVerifier(
        issuer=realm.issuer,
        client_id="api-service",
        operator_role="operator",
        leeway_seconds=30,
        clock=clock,
    )


@pytest.fixture(scope="module")
def realm():
    with RealmServer(clock) as server:
        yield server


@pytest.fixture(scope="module")
def verifier(realm):
    with verifier_for(realm) as verifier:
        yield verifier


def refusal(verifier: OidcVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(token)
    error = refused.value
    assert error.message
    assert error.hint
    assert len(token) < 20 or token not in str(error)
    assert error.__cause__ is None
    return error.code


WRONG_CLAIMS = {
    "expired": ({"exp": NOW - HOUR}, "token_expired"),
    "expired by the leeway": ({"exp": NOW - 30}, "token_expired"),
    "without end": ({"exp": None}, "malformed_token"),
    "end is text": ({"exp": "never"}, "malformed_token"),
    "end is true": ({"exp": True}, "malformed_token"),
    "not before tomorrow": ({"nbf": NOW + 24 * HOUR}, "token_not_yet_valid"),
    "not before, a second beyond the leeway": ({"nbf": NOW + 31}, "token_not_yet_valid"),
    "issued a second beyond the leeway": ({"iat": NOW + 31}, "token_not_yet_valid"),
    "not before is text": ({"nbf": "tomorrow"}, "malformed_token"),
    "issued in the future": ({"iat": NOW + HOUR}, "token_not_yet_valid"),
    "issued at true": ({"iat": True}, "malformed_token"),
    "other issuer": ({"iss": "http://127.0.0.1/realms/moonmind"}, "wrong_issuer"),
    "issuer with a slash": ({"iss": "http://127.0.0.1/realms/moonmind/"}, "wrong_issuer"),
    "issuer is a list": ({"iss": ["http://127.0.0.1"]}, "wrong_issuer"),
    "without issuer": ({"iss": None}, "malformed_token"),
    "other issuer and expired": ({"iss": "http://127.0.0.1", "exp": 1}, "wrong_issuer"),
    "ID token": ({"typ": "ID"}, "wrong_token_type"),
    "refresh token": ({"typ": "Refresh"}, "wrong_token_type"),
    "without type": ({"typ": None}, "malformed_token"),
    "other client": ({"azp": "elsewhere"}, "wrong_audience"),
    "other client and audience": ({"azp": "elsewhere", "aud": ["account"]}, "wrong_audience"),
    "audience that holds the name": ({"azp": None, "aud": "my-api-service-2"}, "wrong_audience"),
    "no client at all": ({"azp": None}, "wrong_audience"),
    "audience is a number": ({"azp": None, "aud": 5}, "wrong_audience"),
    "without subject": ({"sub": None}, "malformed_token"),
    "empty subject": ({"sub": ""}, "malformed_token"),
    "subject is a number": ({"sub": 7}, "malformed_token"),
}


@pytest.mark.parametrize(("changes", "code"), WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_wrong_claims(realm, verifier, changes, code):
    """A correctly signed token with a wrong claim is refused with that claim's code."""
    assert refusal(verifier, realm.token(**changes)) == code


GOOD_CLAIMS = {
    "as Keycloak makes them": ({}, Actor("subject-1", "maya")),
    "for us by audience": ({"azp": "moonmind-cli", "aud": ["api-service", "account"]}, Actor("subject-1", "maya")),
    "for us by one audience": ({"azp": "moonmind-cli", "aud": "api-service"}, Actor("subject-1", "maya")),
    "clocks apart by the leeway": (
        {"exp": NOW - 29, "nbf": NOW + 30, "iat": NOW + 30},
        Actor("subject-1", "maya"),
    ),
    "times with fractions": ({"exp": NOW + 0.5, "nbf": NOW - 0.5}, Actor("subject-1", "maya")),
    "without a name": ({"preferred_username": None}, Actor("subject-1", "subject-1")),
    "name is no text": ({"preferred_username": 5}, Actor("subject-1", "subject-1")),
    "realm role": ({"realm_access": {"roles": ["a", "operator"]}}, Actor("subject-1", "maya", operator=True)),
    "client role": (
        {"resource_access": {"api-service": {"roles": ["operator"]}}},
        Actor("subject-1", "maya", operator=True),
    ),
    "role of another client": ({"resource_access": {"account": {"roles": ["operator"]}}}, Actor("subject-1", "maya")),
    "roles are text": ({"realm_access": {"roles": "operator"}}, Actor("subject-1", "maya")),
    "roles of another shape": ({"realm_access": ["operator"], "resource_access": 1}, Actor("subject-1", "maya")),
}


@pytest.mark.parametrize(("changes", "actor"), GOOD_CLAIMS.values(), ids=GOOD_CLAIMS)
def test_good_claims(realm, verifier, changes, actor):
    """A valid token gives the caller's identity and whether they are an operator."""
    assert verifier.verify(realm.token(**changes)) == actor


MALFORMED = {
    "empty": "",
    "a word": "hello",
    "two dots": "..",
    "five parts": "a.b.c.d.e",
    "not base64": "ä.ö.ü",
    "header is no JSON": "aGVsbG8.e30.AAAA",
    "header is a list": "WyJhbGciXQ.e30.AAAA",
    "header is text": "ImFsZyI.e30.AAAA",
    "very long": "a" * 200_000,
    "line breaks": "a\r\nb.c.d",
    "surrogate": "\ud800.a.b",
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_malformed(verifier, token):
    """A text that is not a token is reported as such, and never causes a server error."""
    assert refusal(verifier, token) in {"malformed_token", "algorithm_not_allowed"}


@pytest.mark.parametrize("payload", [b"[]", b"nonsense", b"\xff", b"", b'{"exp": NaN}', b"[" * 5000])
def test_signed_nonsense(realm, verifier, payload):
    """A correctly signed payload that is not a JSON object is refused."""
    assert refusal(verifier, sign(payload, realm.key)) == "malformed_token"


def test_no_key_is_named(realm, verifier):
    """A token must name its key; no keys are tried."""
    assert refusal(verifier, realm.token(header={"kid": None})) == "malformed_token"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "rs256", "RS257", ""])
def test_algorithms_that_are_not_named(verifier, realm, algorithm):
    """Only asymmetric algorithms named here are accepted."""
    header = packed(json.dumps({"alg": algorithm, "kid": "first"}).encode())
    _, claims, signature = realm.token().split(".")
    assert refusal(verifier, f"{header}.{claims}.{signature}") == "algorithm_not_allowed"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"])
def test_algorithms_that_are_named(algorithm):
    """Each algorithm that Keycloak offers for realm keys, except EdDSA, is verified."""
    with RealmServer(clock) as realm:
        realm.key = signing_key("k", algorithm)
        realm.keys = [public(realm.key)]
        with verifier_for(realm) as verifier:
            token = realm.token()
            assert verifier.verify(token).subject == "subject-1"
            header, claims, signature = token.split(".")
            changed = ("A" if signature[0] != "A" else "B") + signature[1:]
            assert refusal(verifier, f"{header}.{claims}.{changed}") == "bad_signature"
            assert refusal(verifier, f"{header}.{claims}.") == "bad_signature"


def test_a_key_is_used_for_its_own_algorithm_alone(realm, verifier):
    """A key that the realm publishes for RS256 does not verify PS256."""
    other = jwk.RSAKey.import_key({**realm.key.as_dict(private=True), "alg": "PS256"})
    assert refusal(verifier, realm.token(key=other)) == "algorithm_not_allowed"


def test_another_kind_of_key(realm, verifier):
    """An elliptic curve's signature under an RSA key's name is a bad signature, not an error."""
    other = jwk.ECKey.generate_key("P-256", {"kid": "first"})
    assert refusal(verifier, realm.token(key=other, header={"alg": "ES256"})) in {
        "bad_signature",
        "algorithm_not_allowed",
    }


def test_another_key_of_the_same_name(realm, verifier):
    """A signature by another key under the realm's key id is refused."""
    assert refusal(verifier, realm.token(key=signing_key("first"))) == "bad_signature"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}])
def test_critical_headers(realm, verifier, header):
    """A token with an unknown critical header is refused."""
    head = packed(json.dumps({"alg": "RS256", "kid": "first", **header}).encode())
    content = f"{head}.{packed(json.dumps(realm.claims()).encode())}"
    signature = realm.key.private_key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert refusal(verifier, f"{content}.{packed(signature)}") in {"bad_signature", "malformed_token"}


@pytest.mark.parametrize("sub", ["local:op", "local:", "local:op#2", "oidc:local:op", "oidc:oidc:x"])
def test_no_user_of_the_realm_is_a_token_of_the_appliance(realm: RealmServer, verifier: OidcVerifier, sub: str) -> None:
    """A `sub` that looks like a local token's subject becomes a different subject."""
    subject = verifier.verify(realm.token(sub=sub)).subject
    assert subject != sub
    assert not subject.startswith("local:")


def test_different_users_stay_different() -> None:
    """Two different `sub` never give the same subject."""
    subs = ["x", "local:x", "oidc:x", "oidc:local:x", "oidc:oidc:x", "oidc:oidc:local:x", " local:x", "LOCAL:x"]
    assert len({own_subject(sub) for sub in subs}) == len(subs)


def test_usual_users_keep_their_runs(realm: RealmServer, verifier: OidcVerifier) -> None:
    """Keycloak's UUIDs are unchanged, as stored runs have them as subject."""
    sub = "5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11"
    assert verifier.verify(realm.token(sub=sub)).subject == sub
