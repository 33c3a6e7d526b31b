import httpx
import pytest

from moonmind_appliance.rehearsal.openai import StandInOpenAI

BACKEND = "https://chatgpt.com/backend-api"
PATHS = ("wham/accounts/check", "codex/models", "wham/settings/user", "wham/config/bundle")


@pytest.mark.parametrize("path", PATHS)
def test_every_path_requires_a_token(client: httpx.Client, path: str) -> None:
    """Without a bearer token the response is 401."""
    assert client.get(f"{BACKEND}/{path}").status_code == 401
    assert client.get(f"{BACKEND}/{path}", headers={"authorization": "Basic eDp5"}).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_a_token_is_valid_for_its_own_account_only(
    openai: StandInOpenAI, client: httpx.Client, bearer: dict[str, str], path: str
) -> None:
    """The account header must name the token's account."""
    own, other = openai.accounts[0], openai.accounts[1]
    answer = client.get(f"{BACKEND}/{path}", headers=bearer | {"chatgpt-account-id": own.account_id})
    assert answer.status_code == 200
    answer = client.get(f"{BACKEND}/{path}", headers=bearer | {"chatgpt-account-id": other.account_id})
    assert (answer.status_code, answer.json()) == (403, {"detail": {"code": "invalid_workspace_selected"}})


def test_an_expired_token_is_refused_with_openais_message(
    openai: StandInOpenAI, client: httpx.Client, bearer: dict[str, str]
) -> None:
    """Codex shows the message."""
    openai.accounts.expire_access(openai.accounts[0])
    answer = client.get(f"{BACKEND}/codex/models", headers=bearer)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "token_expired"


def test_the_account_check_lists_the_account(
    openai: StandInOpenAI, client: httpx.Client, bearer: dict[str, str]
) -> None:
    """Codex does not work if its own account is missing from the list."""
    (listed,) = client.get(f"{BACKEND}/wham/accounts/check", headers=bearer).json()["accounts"]
    assert listed["id"] == openai.accounts[0].account_id
    assert listed["workspace_backend_origin"] == listed["account_routing_override"] == "NO_CONSTRAINT"
