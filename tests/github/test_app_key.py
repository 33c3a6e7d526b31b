"""The JWTs of a GitHub App, and the keys that can sign them."""

import base64
import json
import subprocess
import sys
import warnings

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.github.app_key import AppKey
from moonmind_appliance.settings import Secret
from tests.fakes import Clock
from tests.github.app import app_key, private_pem


def test_a_jwt_has_githubs_claims_and_times() -> None:
    """RS256, issued a minute ago, valid for less than ten minutes, with the App's id as a text."""
    clock = Clock()
    token = AppKey("4711", private_pem(app_key()), clock).current()
    decoded = jwt.decode(token.reveal(), app_key(), algorithms=["RS256"])
    now = int(clock().timestamp())
    assert decoded.header["alg"] == "RS256"
    assert decoded.claims == {"iat": now - 60, "exp": now + 540, "iss": "4711"}


def test_a_jwt_is_used_again_for_some_minutes() -> None:
    """A new one is made before it expires, after GitHub rejected it, and after the clock was set back."""
    clock, known = Clock(), list[str]()
    key = AppKey("4711", private_pem(app_key()), clock, known.append)
    first = key.current()
    clock.advance(seconds=299)
    assert key.current() == first
    clock.advance(seconds=2)
    second = key.current()
    clock.advance(seconds=-600)
    third = key.current()
    clock.advance(seconds=1)
    assert key.replace(third) is None
    fourth = key.current()
    assert len({first, second, third, fourth}) == 4
    assert known == [token.reveal() for token in (first, second, third, fourth)]


def refused(pem: str) -> str:
    with pytest.raises(SettingsError) as caught:
        AppKey("4711", Secret(pem), Clock()).current()
    (problem,) = caught.value.problems
    assert problem.name == "GITHUB_APP_PRIVATE_KEY"
    assert problem.hint
    assert not any(line in str(caught.value) for line in pem.splitlines()[1:-1])
    return problem.message


def test_a_key_that_cannot_sign_is_refused_without_being_quoted() -> None:
    """A public key, a damaged one, another kind, and one that is too short: each error names the cause."""
    pem = private_pem(app_key()).reveal()
    assert refused(app_key().as_pem(private=False).decode()) == "is a public key."
    lines = pem.splitlines()
    assert "is not a private RSA key" in refused("\n".join([lines[0], *lines[3:]]))
    assert "is not a private RSA key" in refused(ECKey.generate_key("P-256").as_pem(private=True).decode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        small = RSAKey.generate_key(1024).as_pem(private=True).decode()
        assert refused(small) == "has 1024 bits; GitHub's keys have at least 2048."


def test_both_forms_of_pem_are_read() -> None:
    """GitHub's downloads have PKCS#1. Other tools write PKCS#8."""
    raw = app_key().raw_value
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - only here

    pem = raw.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()).decode()
    assert pem.startswith("-----BEGIN RSA PRIVATE KEY-----")
    body = AppKey("4711", Secret(pem), Clock()).current().reveal().split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(body + "=="))["iss"] == "4711"


def test_the_cryptographic_library_is_loaded_with_the_first_jwt_only() -> None:
    """Processes without an App, and those that make no request, do not pay for it."""
    code = (
        "import sys; import moonmind_appliance.attach, moonmind_appliance.github as g;"
        "from moonmind_appliance.settings import PrivateKey, Settings;"
        "app = g.GitHubApp.of(Settings(github_app_id='1', github_app_private_key=PrivateKey('x')));"
        "app.client('a/b'); app.close();"
        "print([name for name in ('cryptography', 'joserfc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
