"""When keys are fetched from the realm, and the handling of invalid answers."""

import threading

import pytest

from moonmind_appliance.errors import Unauthenticated, Unavailable
from moonmind_appliance.oidc.keys import KEYS_FRESH_SECONDS, KEYS_LONGEST_SECONDS, RETRY_SECONDS
from moonmind_appliance.oidc.verifier import OidcVerifier
from tests.oidc.clock import Clock
from tests.oidc.realm_server import PATH, RealmServer, public, signing_key

CERTS = f"{PATH}/certs"
DISCOVERY = f"{PATH}/.well-known/openid-configuration"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def realm(clock):
    with RealmServer(clock) as server:
        yield server


@pytest.fixture
def verifier(realm, clock):
    with verifier_for(realm, clock) as verifier:
        yield verifier


def verifier_for(realm: RealmServer, clock: Clock, **changes) -> OidcVerifier:
    usual = {"issuer": realm.issuer, "client_id": "api-service", "operator_role": "operator"}
    return OidcVerifier(**{**usual, "clock": clock, "age_clock": clock, **changes})


def fetches(realm: RealmServer) -> int:
    """How often keys were fetched since the last call."""
    asked, realm.asked = realm.asked, []
    return asked.count(DISCOVERY)


def refusal(verifier: OidcVerifier, token: str) -> str:
    with pytest.raises((Unauthenticated, Unavailable)) as refused:
        verifier.verify(token)
    return refused.value.code


def test_keys_are_fetched_once_and_kept(realm, verifier):
    """No request is sent before the first token, and one fetch serves many tokens."""
    assert verifier.status().reachable is None
    assert fetches(realm) == 0
    for _ in range(20):
        verifier.verify(realm.token())
    assert fetches(realm) == 1


def test_threads_fetch_once(realm, verifier):
    """Many first tokens at once cause one fetch, and all are answered."""
    token = realm.token()
    subjects: list[str] = []
    threads = [threading.Thread(target=lambda: subjects.append(verifier.verify(token).subject)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert subjects == ["subject-1"] * 12
    assert fetches(realm) == 1


def test_a_new_key_is_fetched_at_once(realm, verifier):
    """A token with an unknown key causes a fetch, also right after another one."""
    verifier.verify(realm.token())
    verifier.check()
    realm.key = signing_key("second")
    realm.keys.append(public(realm.key))
    assert verifier.verify(realm.token())


def test_invented_key_ids_are_limited(realm, verifier, clock):
    """One fetch for all unknown keys in some seconds."""
    verifier.verify(realm.token())
    fetches(realm)
    for number in range(100):
        assert refusal(verifier, realm.token(key=signing_key_named(realm, f"x{number}"))) == "unknown_key"
    assert fetches(realm) == 1
    clock.now += RETRY_SECONDS
    assert refusal(verifier, realm.token(key=signing_key_named(realm, "y"))) == "unknown_key"
    assert fetches(realm) == 1


def signing_key_named(realm: RealmServer, kid: str):
    """The realm's key under another name, as generating many keys takes long."""
    return type(realm.key).import_key({**realm.key.as_dict(private=True), "kid": kid})


def test_old_keys_are_fetched_again(realm, verifier, clock):
    """A key that the realm revoked is dropped after some minutes."""
    old = realm.token()
    verifier.verify(old)
    realm.key = signing_key("second")
    realm.keys = [public(realm.key)]
    clock.now += KEYS_FRESH_SECONDS - 1
    assert verifier.verify(old)
    clock.now += 1
    assert refusal(verifier, old) == "unknown_key"


def test_a_clock_that_was_set_back_does_not_stop_the_fetching(realm, verifier, clock):
    """After the clock jumped back, new keys are still found."""
    verifier.verify(realm.token())
    clock.now -= 86400
    realm.key = signing_key("second")
    realm.keys = [public(realm.key)]
    assert verifier.verify(realm.token())


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_keys_stay_in_use_when_the_machines_clock_is_changed(realm, clock, hours):
    """While Keycloak is away: their age is measured by a clock of its own. Only the tokens' times are compared."""
    ages = Clock()
    with verifier_for(realm, clock, age_clock=ages) as verifier:
        verifier.verify(realm.token())
        realm.answers[DISCOVERY] = (503, b"")
        ages.now += KEYS_FRESH_SECONDS
        clock.now += hours * 3600
        assert verifier.verify(realm.token())


FAILURES = {
    "server error": (CERTS, (503, b"")),
    "realm is gone": (DISCOVERY, (404, b"{}")),
    "redirect": (DISCOVERY, (302, b"/elsewhere")),
    "a page": (DISCOVERY, (200, b"<html>")),
    "discovery without keys": (DISCOVERY, (200, b'{"issuer": "x"}')),
    "keys of another shape": (CERTS, (200, b'{"keys": {}}')),
    "no keys": (CERTS, (200, b'{"keys": []}')),
    "no usable keys": (CERTS, (200, b'{"keys": [{"kid": "first", "kty": "RSA", "n": "", "e": "AQAB"}]}')),
}


@pytest.mark.parametrize(("path", "answer"), FAILURES.values(), ids=FAILURES)
def test_known_keys_survive_odd_answers(realm, verifier, clock, path, answer):
    """If keys are known, no answer of Keycloak locks callers out; the status shows the error."""
    token = realm.token()
    verifier.verify(token)
    realm.answers[path] = answer
    clock.now += KEYS_FRESH_SECONDS
    assert verifier.verify(token)
    status = verifier.status()
    assert (status.reachable, status.keys) == (False, 1)
    assert status.error
    realm.answers.clear()
    status = verifier.check()
    assert (status.reachable, status.keys, status.error) == (True, 1, None)


@pytest.mark.parametrize(("path", "answer"), FAILURES.values(), ids=FAILURES)
def test_without_keys_the_response_is_503(realm, verifier, clock, path, answer):
    """Before the first successful fetch no token can be verified: 503, with a time."""
    realm.answers[path] = answer
    with pytest.raises(Unavailable) as away:
        verifier.verify(realm.token())
    assert (away.value.code, away.value.retry_after) == ("identity_provider_unreachable", RETRY_SECONDS)
    realm.answers.clear()
    fetches(realm)
    assert refusal(verifier, realm.token()) == "identity_provider_unreachable"
    assert fetches(realm) == 0, "not asked again at once"
    clock.now += RETRY_SECONDS
    assert verifier.verify(realm.token())


def test_an_unknown_key_during_an_outage(realm, verifier):
    """The token may be valid and its key new, so the answer is 503."""
    verifier.verify(realm.token())
    realm.answers[DISCOVERY] = (503, b"")
    assert refusal(verifier, realm.token(key=signing_key("new"))) == "identity_provider_unreachable"


def test_no_server(realm, clock):
    """The error for a closed port contains the address."""
    with RealmServer() as gone:
        issuer = gone.issuer
    with verifier_for(realm, clock, issuer=issuer) as verifier:
        status = verifier.check()
    assert status.reachable is False
    assert issuer in (status.error or "")


def test_one_odd_key_does_not_spoil_the_others(realm, verifier):
    """Encryption keys, unknown kinds and broken keys are skipped."""
    realm.keys = [
        {"kty": "RSA", "kid": "broken", "use": "sig"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "AKP", "kid": "future", "alg": "ML-DSA-44"},
        {"no": "kid"},
        public(signing_key("enc"), use="enc"),
        public(realm.key, kid="wrapped", alg="RSA-OAEP"),
        public(realm.key, alg=None, use=None),
    ]
    assert verifier.verify(realm.token())
    assert verifier.status().keys == 1


def test_check_may_be_called_often(realm, verifier, clock):
    """A readiness probe can call it at any rate: within `max_age` it returns the last state."""
    for _ in range(10):
        assert verifier.check(max_age=10).reachable
    assert fetches(realm) == 1
    clock.now += 10
    verifier.check(max_age=10)
    assert fetches(realm) == 1


def test_another_name_is_not_believed(realm, verifier):
    """A realm with another issuer than OIDC_ISSUER_URL is refused; the error has both names and the fix."""
    realm.discovery["issuer"] = "https://keycloak.example.test/realms/moonmind"
    error = verifier.check().error or ""
    assert realm.issuer in error
    assert "https://keycloak.example.test/realms/moonmind" in error
    assert "OIDC_INTERNAL_URL" in error


@pytest.mark.parametrize("slash", ["", "/", "/realms/moonmind"])
def test_internal_address(realm, clock, slash):
    """OIDC_INTERNAL_URL's origin replaces that of all URLs; `iss` stays the issuer's."""
    issuer = f"https://keycloak.example.test{PATH}"
    realm.discovery = {"issuer": "http://whatever", "jwks_uri": f"{issuer}/certs"}
    with verifier_for(realm, clock, issuer=issuer, internal_url=realm.url + slash) as verifier:
        assert verifier.verify(realm.token(iss=issuer))
        assert refusal(verifier, realm.token()) == "wrong_issuer"


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


def test_the_key_set_is_not_taken_from_where_a_redirect_leads(
    realm: RealmServer, verifier: OidcVerifier, clock: Clock
) -> None:
    """Otherwise another server's keys could sign for the realm."""
    with RealmServer(clock) as thief:
        realm.answers[CERTS] = (302, f"{thief.url}{CERTS}".encode())
        with pytest.raises(Unavailable):
            verifier.verify(realm.token(key=thief.key))
        assert thief.asked == []
