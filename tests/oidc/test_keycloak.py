"""The documented login, and tokens that the API must refuse, against a real Keycloak."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jwk, jwt

from moonmind_appliance.errors import Unauthenticated, Unavailable
from moonmind_appliance.oidc.keys import KEYS_FRESH_SECONDS, RETRY_SECONDS
from moonmind_appliance.oidc.verifier import OidcVerifier
from tests.oidc.clock import Clock
from tests.oidc.keycloak import OTHER_REALM, REALM_FILE, Keycloak

pytestmark = [pytest.mark.keycloak, pytest.mark.timeout(600)]

# The command of the instructions, with the address as a variable.
PASSWORD_GRANT = r"""
export OIDC_BASE_URL="http://localhost:8085/realms/moonmind/protocol/openid-connect/token"
export OIDC_CLIENT_ID="${OIDC_CLIENT_ID:-api-service}"
export OIDC_CLIENT_SECRET="${OIDC_CLIENT_SECRET:-changeme}"
export MOONMIND_USERNAME="<keycloak-username>"
export MOONMIND_PASSWORD="<keycloak-password>"

TOKEN_RESPONSE="$(
  curl -sS -X POST "$OIDC_BASE_URL" \
    -H "Content-Type: application/x-www-form-urlencoded" \
    -d "grant_type=password" \
    -d "client_id=${OIDC_CLIENT_ID}" \
    -d "client_secret=${OIDC_CLIENT_SECRET}" \
    -d "username=${MOONMIND_USERNAME}" \
    -d "password=${MOONMIND_PASSWORD}" \
    -d "scope=openid"
)"
export MOONMIND_API_TOKEN="$(printf '%s' "$TOKEN_RESPONSE" | jq -r '.access_token')"
"""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verifier(keycloak: Keycloak, clock: Clock) -> Iterator[OidcVerifier]:
    with verifier_for(keycloak, clock=clock, age_clock=clock) as verifier:
        yield verifier


def verifier_for(keycloak: Keycloak, **changes) -> OidcVerifier:
    """A verifier as the appliance creates it, except for the changes."""
    usual = {"issuer": keycloak.issuer, "client_id": "api-service", "operator_role": "operator"}
    return OidcVerifier(**{**usual, **changes})


def refusal(verifier: OidcVerifier, token: str) -> str:
    """The code with which a token is refused; the text must not contain the token."""
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(token)
    assert refused.value.hint
    assert token not in str(refused.value)
    return refused.value.code


def part(token: str, index: int) -> dict:
    raw = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))


def packed(value: dict | bytes) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def get_token_by_the_instructions(keycloak: Keycloak, user, *, realm: str, secret: str | None) -> str:
    script = PASSWORD_GRANT.replace("http://localhost:8085/realms/moonmind", f"{keycloak.base_url}/realms/{realm}")
    script = script.replace("<keycloak-username>", user.username).replace("<keycloak-password>", user.password)
    script += "\nprintf '%s' \"$MOONMIND_API_TOKEN\"\n"
    environment = {"PATH": os.environ["PATH"]}
    if secret is not None:
        environment["OIDC_CLIENT_SECRET"] = secret
    done = subprocess.run(
        ["bash", "-euc", script], env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    return done.stdout


class TestGettingAToken:
    def test_the_instructions_command_gives_a_token_that_is_accepted(self, keycloak, verifier):
        """A user with only a name and a password gets a token with the documented command."""
        user = keycloak.add_user("maya")
        token = get_token_by_the_instructions(keycloak, user, realm="moonmind", secret=keycloak.client_secret)
        actor = verifier.verify(token)
        assert (actor.subject, actor.username, actor.operator) == (user.id, user.username, False)

    def test_an_unset_secret_is_the_documented_one(self, keycloak):
        """Without API_CLIENT_SECRET, the realm and the command both use `changeme`."""
        user = keycloak.add_user("maya", realm=OTHER_REALM)
        token = get_token_by_the_instructions(keycloak, user, realm=OTHER_REALM, secret=None)
        with verifier_for(keycloak, issuer=f"{keycloak.base_url}/realms/{OTHER_REALM}") as verifier:
            assert verifier.verify(token).subject == user.id

    def test_a_set_secret_replaces_the_documented_one(self, keycloak):
        """With API_CLIENT_SECRET set, `changeme` is refused."""
        user = keycloak.add_user("maya")
        assert keycloak.password_grant(user, secret="changeme").status_code == 401

    def test_the_realm_role_makes_an_operator(self, keycloak, verifier):
        """A user with the realm's role `operator` is an operator."""
        user = keycloak.add_user("noor", roles=("operator",))
        assert verifier.verify(keycloak.tokens(user)["access_token"]).operator

    def test_the_clients_role_makes_an_operator(self, keycloak):
        """A user with that role of the client `api-service` is an operator."""
        user = keycloak.add_user("noor")
        client = keycloak.admin("GET", "clients?clientId=api-service").json()[0]["id"]
        keycloak.admin("POST", f"clients/{client}/roles", {"name": "on-duty"})
        role = keycloak.admin("GET", f"clients/{client}/roles/on-duty").json()
        keycloak.admin("POST", f"users/{user.id}/role-mappings/clients/{client}", [role])
        token = keycloak.tokens(user)["access_token"]
        with verifier_for(keycloak, operator_role="on-duty") as verifier:
            assert verifier.verify(token).operator
        with verifier_for(keycloak) as verifier:
            assert not verifier.verify(token).operator

    def test_tokens_live_half_an_hour(self, keycloak):
        """An access token lasts 30 minutes; its login lasts a day without use, a week at most."""
        lifetimes = ("accessTokenLifespan", "ssoSessionIdleTimeout", "ssoSessionMaxLifespan")
        realm = keycloak.admin("GET", "").json()
        assert [realm[name] for name in lifetimes] == [1800, 86400, 7 * 86400]

    def test_guessing_passwords_locks_the_user(self, keycloak):
        """After wrong passwords in quick succession the right one is refused, too, for a while."""
        user = keycloak.add_user("maya")
        wrong = type(user)(user.id, user.username, "wrong")
        for _ in range(10):
            assert keycloak.password_grant(wrong).is_client_error
        assert keycloak.password_grant(user).json()["error"] == "invalid_grant"

    def test_the_realm_file_has_no_user(self):
        """It has no user, and the one secret in it is a placeholder for API_CLIENT_SECRET."""
        realm = json.loads(REALM_FILE.read_text(encoding="utf-8"))
        assert "users" not in realm
        secrets = [client.get("secret") for client in realm["clients"]]
        assert secrets == ["${API_CLIENT_SECRET:changeme}", None]


class TestBadTokens:
    def test_expired(self, keycloak, verifier, clock):
        """A token is valid until its expiry plus the leeway, and not longer."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        clock.now = part(token, 1)["exp"] + 29
        assert verifier.verify(token)
        clock.now = part(token, 1)["exp"] + 31
        assert refusal(verifier, token) == "token_expired"

    def test_not_yet_valid(self, keycloak, verifier, clock):
        """A token from the future, beyond the leeway, is refused."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        clock.now = part(token, 1)["iat"] - 31
        assert refusal(verifier, token) == "token_not_yet_valid"

    def test_wrong_issuer_by_address(self, keycloak, verifier):
        """The same realm by another address is another issuer."""
        user = keycloak.add_user("maya")
        answer = httpx.post(
            f"{keycloak.internal_url}/realms/moonmind/protocol/openid-connect/token",
            data={
                "grant_type": "password",
                "client_id": "api-service",
                "client_secret": keycloak.client_secret,
                "username": user.username,
                "password": user.password,
            },
        )
        assert refusal(verifier, answer.json()["access_token"]) == "wrong_issuer"

    def test_other_realm(self, keycloak, verifier):
        """A token signed with another realm's keys is refused."""
        user = keycloak.add_user("stranger", realm=OTHER_REALM)
        answer = keycloak.password_grant(user, realm=OTHER_REALM, secret="changeme").json()
        assert refusal(verifier, answer["access_token"]) == "unknown_key"

    def test_wrong_audience(self, keycloak, verifier):
        """A token that the same user got through another client is not for this API."""
        keycloak.admin(
            "POST",
            "clients",
            {"clientId": "elsewhere", "publicClient": True, "directAccessGrantsEnabled": True},
        )
        answer = keycloak.password_grant(keycloak.add_user("maya"), client_id="elsewhere").json()
        assert refusal(verifier, answer["access_token"]) == "wrong_audience"

    def test_algorithm_none(self, keycloak, verifier):
        """A token without a signature is refused, whatever its claims are."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        header = {**part(token, 0), "alg": "none"}
        unsigned = f"{packed(header)}.{token.split('.')[1]}."
        assert refusal(verifier, unsigned) == "algorithm_not_allowed"

    def test_hmac_with_the_public_key(self, keycloak, verifier):
        """HS256 with the public key's PEM as the secret is refused."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        header = part(token, 0)
        keys = httpx.get(f"{keycloak.issuer}/protocol/openid-connect/certs").json()["keys"]
        public = jwk.RSAKey.import_key(next(key for key in keys if key["kid"] == header["kid"])).as_pem()
        content = f"{packed({**header, 'alg': 'HS256'})}.{token.split('.')[1]}"
        forged = f"{content}.{packed(hmac.new(public, content.encode(), hashlib.sha256).digest())}"
        assert refusal(verifier, forged) == "algorithm_not_allowed"

    def test_tampered_content(self, keycloak, verifier):
        """Adding the operator role to a token invalidates its signature."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        header, _, signature = token.split(".")
        claims = {**part(token, 1), "realm_access": {"roles": ["operator"]}}
        assert refusal(verifier, f"{header}.{packed(claims)}.{signature}") == "bad_signature"

    def test_own_key_under_the_realms_name(self, keycloak, verifier):
        """A caller's own key in the header is ignored."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        own = jwk.RSAKey.generate_key(2048)
        header = {"alg": "RS256", "kid": part(token, 0)["kid"], "jwk": own.as_dict(private=False)}
        registry = jwt.JWSRegistry(algorithms=["RS256"])
        registry.max_header_length = 4096
        forged = jwt.encode(header, part(token, 1), own, registry=registry)
        assert refusal(verifier, forged) == "malformed_token"
        del header["jwk"]
        assert refusal(verifier, jwt.encode(header, part(token, 1), own)) == "bad_signature"

    def test_id_token(self, keycloak, verifier):
        """An ID token is refused."""
        token = keycloak.tokens(keycloak.add_user("maya"))["id_token"]
        assert refusal(verifier, token) == "wrong_token_type"

    def test_refresh_token(self, keycloak, verifier):
        """A refresh token is refused."""
        token = keycloak.tokens(keycloak.add_user("maya"))["refresh_token"]
        assert refusal(verifier, token) == "algorithm_not_allowed"

    def test_disabled_user(self, keycloak, verifier, clock):
        """A disabled user gets no new token; an issued one is valid until it expires, as the check is offline."""
        user = keycloak.add_user("maya")
        token = keycloak.tokens(user)["access_token"]
        keycloak.set_enabled(user, enabled=False)
        assert keycloak.password_grant(user).json()["error"] == "invalid_grant"
        assert verifier.verify(token).subject == user.id
        clock.now = part(token, 1)["exp"] + 31
        assert refusal(verifier, token) == "token_expired"


class TestKeys:
    def test_a_new_key_is_met_without_a_restart(self, keycloak, verifier, clock):
        """After a rotation tokens of the new and the old key are valid; a revoked key is dropped."""
        user = keycloak.add_user("maya")
        first = keycloak.add_signing_key(priority=500)
        old = keycloak.tokens(user)["access_token"]
        assert verifier.verify(old)
        second = keycloak.add_signing_key(priority=600)
        new = keycloak.tokens(user)["access_token"]
        assert part(new, 0)["kid"] != part(old, 0)["kid"]
        assert verifier.verify(new)
        assert verifier.verify(old)
        keycloak.remove_key(first)
        clock.now += KEYS_FRESH_SECONDS
        assert refusal(verifier, old) == "unknown_key"
        assert verifier.verify(new)
        keycloak.remove_key(second)

    @pytest.mark.parametrize("algorithm", ["PS256", "ES256"])
    def test_other_asymmetric_algorithms(self, keycloak, verifier, algorithm):
        """A realm may sign with RSA-PSS or elliptic curves."""
        provider = keycloak.add_signing_key(priority=700, algorithm=algorithm)
        client = keycloak.admin("GET", "clients?clientId=api-service").json()[0]
        attributes = {**client["attributes"], "access.token.signed.response.alg": algorithm}
        keycloak.admin("PUT", f"clients/{client['id']}", {**client, "attributes": attributes})
        try:
            token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
            assert part(token, 0)["alg"] == algorithm
            assert verifier.verify(token)
        finally:
            attributes = {**client["attributes"], "access.token.signed.response.alg": ""}
            keycloak.admin("PUT", f"clients/{client['id']}", {**client, "attributes": attributes})
            keycloak.remove_key(provider)

    def test_invented_key_ids_cause_few_fetches(self, keycloak, clock):
        """Any number of tokens with unknown keys causes only occasional requests to the realm."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        _, claims, signature = token.split(".")
        asked: list[str] = []

        def count(request: httpx.Request) -> None:
            asked.append(request.url.path)

        def flood(number: int) -> None:
            for index in range(25):
                forged = f"{packed({'alg': 'RS256', 'kid': f'{number}-{index}'})}.{claims}.{signature}"
                assert refusal(verifier, forged) == "unknown_key"

        with httpx.Client(event_hooks={"request": [count]}) as http:
            verifier = verifier_for(keycloak, http=http, clock=clock, age_clock=clock)
            verifier.verify(token)
            asked.clear()
            threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(asked) == 2, "discovery and keys, once"
            clock.now += RETRY_SECONDS
            flood(8)
            assert len(asked) == 4


class TestKeycloakAway:
    def test_known_keys_continue_to_work(self, keycloak, verifier, clock):
        """While Keycloak is down, existing tokens work, new keys do not, and the status shows the error."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        actor = verifier.verify(token)
        keycloak.stop()
        try:
            clock.now += KEYS_FRESH_SECONDS + 1
            assert verifier.verify(token) == actor
            status = verifier.check()
            assert (status.reachable, status.keys > 0) == (False, True)
            assert keycloak.base_url in (status.error or "")
            with verifier_for(keycloak) as fresh, pytest.raises(Unavailable) as away:
                fresh.verify(token)
            assert (away.value.code, away.value.status) == ("identity_provider_unreachable", 503)
            assert away.value.retry_after > 0
        finally:
            keycloak.start()
        status = verifier.check()
        assert (status.reachable, status.error) == (True, None)
        assert verifier.verify(token) == actor


class TestInternalAddress:
    def test_keys_come_by_the_internal_address(self, keycloak):
        """With OIDC_INTERNAL_URL all requests go there, and `iss` is still the issuer's."""
        token = keycloak.tokens(keycloak.add_user("maya"))["access_token"]
        hosts: set[str] = set()
        with httpx.Client(event_hooks={"request": [lambda request: hosts.add(request.url.host)]}) as http:
            verifier = verifier_for(keycloak, internal_url=keycloak.internal_url, http=http)
            assert verifier.verify(token)
        assert hosts == {"127.0.0.1"}
