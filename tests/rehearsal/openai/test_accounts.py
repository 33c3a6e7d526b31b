"""The accounts of the stand-in and their tokens."""

import httpx

from moonmind_appliance.rehearsal.openai import Account, StandInOpenAI

BACKEND = "https://chatgpt.com/backend-api"


def test_a_token_expires(openai: StandInOpenAI, client: httpx.Client) -> None:
    """Its lifetime is set before it is issued."""
    openai.accounts.access_seconds = -1
    token = openai.accounts.sign_in(openai.accounts[0]).access_token
    answer = client.get(f"{BACKEND}/codex/models", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["error"]["code"] == "token_expired"


def test_accounts_can_be_configured() -> None:
    """For example a plan that gets its configuration from its workspace."""
    business = Account("office@rehearsal.example", "account-b", "user-b", "business")
    openai = StandInOpenAI("127.0.0.1", accounts=(business,))
    assert list(openai.accounts) == [business]
