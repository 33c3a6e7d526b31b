"""A client for a short time, with the credential of the settings."""

from moonmind_appliance.github.client_for import client_for
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import Secret, Settings
from tests.github.app import app_settings, register
from tests.github.stand_in import SLUG, TOKEN


def test_an_apps_token_is_revoked_after_the_block(stand_in: StandInGitHub) -> None:
    """Inside the block the client can make requests."""
    register(stand_in)
    with client_for(app_settings(stand_in.api_url), SLUG) as client:
        assert client is not None
        assert client.repository(SLUG).full_name == SLUG
    assert [token.revoked for token in stand_in.installation_tokens] == [True]


def test_the_operators_token_stays_valid(stand_in: StandInGitHub) -> None:
    """The next client uses the same token."""
    settings = Settings(github_api_url=stand_in.api_url, github_token=Secret(TOKEN))
    for _ in range(2):
        with client_for(settings, SLUG) as client:
            assert client is not None
            assert client.repository(SLUG).full_name == SLUG


def test_without_a_credential_there_is_no_client(stand_in: StandInGitHub) -> None:
    """Nothing is requested."""
    with client_for(Settings(github_api_url=stand_in.api_url), SLUG) as client:
        assert client is None
    assert stand_in.requests == []
