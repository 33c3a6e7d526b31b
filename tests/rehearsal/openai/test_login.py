import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import RefusalCode, StandInOpenAI, Tokens

ByHand = tuple[StandInOpenAI, httpx.Client]
ISSUER = "https://auth.openai.com"
CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
USER_CODE = f"{ISSUER}/api/accounts/deviceauth/usercode"
POLL = f"{ISSUER}/api/accounts/deviceauth/token"
TOKEN = f"{ISSUER}/oauth/token"


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _begin(client: httpx.Client) -> dict[str, str]:
    answer = client.post(USER_CODE, json={"client_id": CLIENT})
    assert answer.status_code == 200
    login: dict[str, str] = answer.json()
    return login


def _poll(client: httpx.Client, login: dict[str, str]) -> httpx.Response:
    return client.post(POLL, json={"device_auth_id": login["device_auth_id"], "user_code": login["user_code"]})


def _exchange(client: httpx.Client, grant: dict[str, str], **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "redirect_uri": f"{ISSUER}/deviceauth/callback",
        "code": grant["authorization_code"],
        "code_verifier": grant["code_verifier"],
    }
    return client.post(TOKEN, data=form | changes)


def _refresh(client: httpx.Client, refresh_token: str) -> httpx.Response:
    body = {"client_id": CLIENT, "grant_type": "refresh_token", "refresh_token": refresh_token}
    return client.post(TOKEN, json=body)


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
def by_hand(client_of: Callable[[StandInOpenAI], httpx.Client]) -> Iterator[ByHand]:
    """A stand-in without automatic approval, and a client for it."""
    with StandInOpenAI("127.0.0.1", approve_after_polls=None) as openai:
        yield openai, client_of(openai)


def test_a_device_login_gives_tokens_with_the_claims_that_codex_reads(
    openai: StandInOpenAI, client: httpx.Client
) -> None:
    """Code, poll, exchange; the tokens name the account, its plan and the expiry."""
    login = _begin(client)
    tokens = _exchange(client, _poll(client, login).json()).json()
    account = openai.accounts[0]
    identity = _claims(tokens["id_token"])
    assert identity["email"] == account.email
    assert identity["https://api.openai.com/auth"] == {
        "chatgpt_account_id": account.account_id,
        "chatgpt_plan_type": "plus",
        "chatgpt_user_id": account.user_id,
        "user_id": account.user_id,
    }
    assert _claims(tokens["access_token"])["exp"] > time.time()


def test_the_interval_is_a_string(client: httpx.Client) -> None:
    """Codex aborts on a number."""
    assert _begin(client)["interval"] == "1"


def test_a_login_is_pending_until_a_person_approves_it(by_hand: ByHand) -> None:
    """403 means not yet."""
    openai, client = by_hand
    login = _begin(client)
    assert openai.pending_codes == [login["user_code"]]
    assert _code(_poll(client, login)) == (403, "deviceauth_authorization_pending")
    openai.approve(login["user_code"], openai.accounts[2])
    tokens = _exchange(client, _poll(client, login).json()).json()
    assert _claims(tokens["id_token"])["email"] == openai.accounts[2].email
    assert openai.pending_codes == []


def test_a_declined_login_ends(by_hand: ByHand) -> None:
    """Neither 403 nor 404, which would mean to poll again."""
    openai, client = by_hand
    login = _begin(client)
    openai.deny(login["user_code"])
    assert _code(_poll(client, login)) == (400, "deviceauth_authorization_denied")


def test_an_unknown_code_cannot_be_approved(openai: StandInOpenAI) -> None:
    """A mistyped code is the caller's error."""
    with pytest.raises(KeyError):
        openai.approve("ABCD-EFGHI")


def test_a_login_can_be_approved_after_some_polls(client_of: Callable[[StandInOpenAI], httpx.Client]) -> None:
    """A rehearsal can show the waiting."""
    with StandInOpenAI("127.0.0.1", approve_after_polls=2) as openai:
        client = client_of(openai)
        login = _begin(client)
        assert [_poll(client, login).status_code for _ in range(3)] == [403, 403, 200]


def test_a_login_can_be_approved_by_time(client_of: Callable[[StandInOpenAI], httpx.Client]) -> None:
    """The first poll after that time returns the approval."""
    with StandInOpenAI("127.0.0.1", approve_after_polls=None, approve_after_seconds=0) as openai:
        client = client_of(openai)
        assert _poll(client, _begin(client)).status_code == 200


def test_logins_go_to_one_account_after_the_other(openai: StandInOpenAI, client: httpx.Client) -> None:
    """Three shards that sign in have three accounts; a fourth starts again with the first."""
    emails = []
    for _ in range(4):
        tokens = _exchange(client, _poll(client, _begin(client)).json()).json()
        emails.append(_claims(tokens["id_token"])["email"])
    assert emails == [openai.accounts[number].email for number in (0, 1, 2, 0)]


@pytest.mark.parametrize("changes", [{"code_verifier": "wrong"}, {"code": "wrong"}])
def test_a_wrong_code_or_verifier_is_refused(client: httpx.Client, changes: dict[str, str]) -> None:
    """Code and verifier must match those that were issued."""
    assert _code(_exchange(client, _poll(client, _begin(client)).json(), **changes)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes", [{"redirect_uri": "http://localhost/"}, {"client_id": "somebody"}, {"grant_type": "password"}]
)
def test_a_form_that_codex_would_not_send_is_refused(client: httpx.Client, changes: dict[str, str]) -> None:
    """Grant type, client and redirect address are fixed."""
    assert _code(_exchange(client, _poll(client, _begin(client)).json(), **changes)) == (400, "invalid_request")


def test_a_code_is_exchanged_once(client: httpx.Client) -> None:
    """The second exchange is refused, and the login is over."""
    login = _begin(client)
    grant = _poll(client, login).json()
    assert _exchange(client, grant).status_code == 200
    assert _code(_exchange(client, grant)) == (400, "invalid_grant")
    assert _poll(client, login).status_code == 400


def test_an_unknown_login_or_client_is_refused(client: httpx.Client) -> None:
    """A code belongs to the login that it was issued for."""
    one, other = _begin(client), _begin(client)
    assert _poll(client, {**one, "user_code": other["user_code"]}).status_code == 400
    assert client.post(USER_CODE, json={"client_id": "somebody"}).status_code == 400
    assert client.post(USER_CODE, json={}).status_code == 400


def test_a_refresh_token_can_be_used_once(client: httpx.Client, tokens: Tokens) -> None:
    """The second use is refused with OpenAI's message; the new token works."""
    fresh = _refresh(client, tokens.refresh_token)
    assert fresh.status_code == 200
    assert _code(_refresh(client, tokens.refresh_token)) == (401, "refresh_token_reused")
    assert _refresh(client, fresh.json()["refresh_token"]).status_code == 200


def test_an_unknown_an_expired_and_a_revoked_refresh_token_have_different_codes(
    openai: StandInOpenAI, client: httpx.Client, tokens: Tokens
) -> None:
    """Codex shows a different message for each."""
    assert _code(_refresh(client, "rt_unknown")) == (401, "refresh_token_invalidated")
    openai.accounts.sign_out(openai.accounts[0])
    assert _code(_refresh(client, tokens.refresh_token)) == (401, "refresh_token_invalidated")
    openai.accounts.refresh_seconds = -1
    old = openai.accounts.sign_in(openai.accounts[0])
    assert _code(_refresh(client, old.refresh_token)) == (401, "refresh_token_expired")


def test_signing_out_can_name_the_reason(openai: StandInOpenAI, client: httpx.Client, tokens: Tokens) -> None:
    """Each of Codex's messages can be tested."""
    openai.accounts.sign_out(openai.accounts[0], RefusalCode.REFRESH_REUSED)
    assert _code(_refresh(client, tokens.refresh_token)) == (401, "refresh_token_reused")


def test_revoking_one_token_ends_its_sign_in_and_no_other(
    openai: StandInOpenAI, client: httpx.Client, tokens: Tokens
) -> None:
    """`codex login` revokes the stored login before it asks for a code."""
    other = openai.accounts.sign_in(openai.accounts[0])
    fresh = _refresh(client, tokens.refresh_token).json()
    answer = client.post(f"{ISSUER}/oauth/revoke", json={"token": fresh["refresh_token"], "client_id": CLIENT})
    assert answer.status_code == 200
    assert _code(_refresh(client, fresh["refresh_token"])) == (401, "refresh_token_invalidated")
    models = "https://chatgpt.com/backend-api/codex/models"
    for token, status in ((fresh["access_token"], 401), (tokens.access_token, 401), (other.access_token, 200)):
        assert client.get(models, headers={"authorization": f"Bearer {token}"}).status_code == status


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{", "application/json"), (b'{"grant_type": "refresh_token"}', "application/json"), (b"x", "text/plain")],
)
def test_a_token_request_that_cannot_be_read_is_refused(
    client: httpx.Client, content: bytes, content_type: str
) -> None:
    """400, never an internal error."""
    answer = client.post(TOKEN, content=content, headers={"content-type": content_type})
    assert _code(answer) == (400, "invalid_request")
