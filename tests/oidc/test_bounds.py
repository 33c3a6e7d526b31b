"""What a realm or an impostor cannot make the appliance accept, keep or send elsewhere."""

import json
from collections.abc import Iterator

import pytest

from moonmind_appliance.errors import LoginError, Unavailable
from moonmind_appliance.oidc import OidcVerifier, SavedLogin
from moonmind_appliance.oidc.device_login import DeviceLogin
from moonmind_appliance.oidc.discovery import LARGEST_ANSWER
from moonmind_appliance.oidc.keys import KEYS_FRESH_SECONDS, KEYS_LONGEST_SECONDS, MOST_KEYS, RETRY_SECONDS
from moonmind_appliance.oidc.verifier import own_subject
from tests.oidc.clock import Clock
from tests.oidc.realm_server import PATH, RealmServer, public, signing_key

CERTS = f"{PATH}/certs"
DISCOVERY = f"{PATH}/.well-known/openid-configuration"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def realm(clock: Clock) -> Iterator[RealmServer]:
    with RealmServer(clock) as server:
        yield server


@pytest.fixture
def verifier(realm: RealmServer, clock: Clock) -> Iterator[OidcVerifier]:
    with OidcVerifier(issuer=realm.issuer, client_id="api-service", operator_role="operator", clock=clock) as made:
        yield made


# Subjects


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


# Keys


@pytest.mark.parametrize("away", [DISCOVERY, CERTS])
def test_keys_end_an_hour_after_they_were_fetched(
    realm: RealmServer, verifier: OidcVerifier, clock: Clock, away: str
) -> None:
    """While Keycloak is unavailable they are used that long: a revoked key does not stay valid."""
    token = realm.token(exp=int(clock()) + 10 * KEYS_LONGEST_SECONDS)
    verifier.verify(token)
    realm.answers[away] = (503, b"")
    clock.now += KEYS_LONGEST_SECONDS - 1
    assert verifier.verify(token).subject == "subject-1"
    clock.now += 2
    with pytest.raises(Unavailable):
        verifier.verify(token)
    assert verifier.status().keys == 0
    del realm.answers[away]
    clock.now += RETRY_SECONDS
    assert verifier.verify(token).subject == "subject-1"


def test_a_withdrawn_key_is_refused_after_an_hour_without_requests(
    realm: RealmServer, verifier: OidcVerifier, clock: Clock
) -> None:
    """No earlier request with the old key is necessary."""
    stolen = realm.token(exp=int(clock()) + 10 * KEYS_LONGEST_SECONDS)
    verifier.verify(stolen)
    realm.key = signing_key("second")
    realm.keys = [public(realm.key)]
    clock.now += KEYS_LONGEST_SECONDS + 1
    assert verifier.verify(realm.token()).subject == "subject-1"
    with pytest.raises(Exception, match="does not publish"):
        verifier.verify(stolen)


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


# Redirects


@pytest.mark.parametrize("path", [DISCOVERY, f"{PATH}/token"])
def test_a_refresh_token_follows_no_redirect(realm: RealmServer, clock: Clock, path: str) -> None:
    """It is sent only to the realm's own address."""
    with RealmServer(clock) as thief:
        realm.answers[path] = (302, f"{thief.url}{path}".encode())
        login = SavedLogin(
            issuer=realm.issuer,
            client_id="moonmind-cli",
            username="maya",
            access_token="a",
            access_expires_at=0,
            refresh_token="refresh-secret",
            refresh_expires_at=None,
        )
        with (
            DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli", clock=clock) as device,
            pytest.raises(LoginError),
        ):
            device.refresh(login)
        assert thief.asked == []


def test_the_key_set_is_not_taken_from_where_a_redirect_leads(
    realm: RealmServer, verifier: OidcVerifier, clock: Clock
) -> None:
    """Otherwise another server's keys could sign for the realm."""
    with RealmServer(clock) as thief:
        realm.answers[CERTS] = (302, f"{thief.url}{CERTS}".encode())
        with pytest.raises(Unavailable):
            verifier.verify(realm.token(key=thief.key))
        assert thief.asked == []
