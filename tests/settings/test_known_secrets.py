"""Which values of the settings are secrets."""

from random import Random

from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import load, secrets_of
from tests.known_tokens import private_key

TOKEN = "ghp_applianceToken0123456789abcdefghijkl"


def test_every_secret_of_the_settings_is_redacted() -> None:
    """With the variable's name."""
    made = load({"GITHUB_TOKEN": TOKEN, "OIDC_CLIENT_SECRET": "s3cret-of-a-client"}).settings
    assert secrets_of(made) == {"GITHUB_TOKEN": TOKEN, "OIDC_CLIENT_SECRET": "s3cret-of-a-client"}


def test_the_webhooks_secrets_are_redacted() -> None:
    """The signing key with and without its prefix, and a URL with a path or a query, which may be a key."""
    given = {"WEBHOOK_SECRET": f"whsec_{'Zm9v' * 8}"}
    keys = {"WEBHOOK_SECRET": f"whsec_{'Zm9v' * 8}", "WEBHOOK_SECRET key": "Zm9v" * 8}
    for url in ("https://hooks.example.org/x", "https://hooks.example.org?key=abc"):
        assert secrets_of(load(given | {"WEBHOOK_URL": url}).settings) == keys | {"WEBHOOK_URL": url}
    assert secrets_of(load(given | {"WEBHOOK_URL": "https://hooks.example.org/"}).settings) == keys


def test_a_private_key_is_redacted_however_it_is_wrapped() -> None:
    """A part of its lines without the first and last line is redacted, too; no pattern of a key matches that."""
    pem = private_key(Random(1))  # noqa: S311 - no secret
    body = pem.splitlines()[1:-1]
    redactor = Redactor(secrets_of(load({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": pem}).settings))
    for wrapped in ("".join(body), "\n".join(body), "\\n".join(body), "\r\n".join(body)):
        assert body[3] not in redactor.redact_text(f"key: {wrapped}.")


def test_the_password_of_the_agents_proxy_is_redacted() -> None:
    """It is known alone, with its user, and as it is in the URL."""
    made = load({"AGENT_HTTPS_PROXY": "http://ann:p%40ssword@proxy:3128"}).settings
    assert secrets_of(made) == {
        "AGENT_HTTPS_PROXY password": "p@ssword",
        "AGENT_HTTPS_PROXY login": "ann:p@ssword",
        "AGENT_HTTPS_PROXY encoded login": "ann:p%40ssword",
    }
