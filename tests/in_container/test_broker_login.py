"""The dummy looks like the real login to Codex, and contains nothing of its secrets."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex_login_file import jwt_claims, login_facts
from moonmind_appliance.in_container.broker_login import Dummy, LoginFile, NoLogin, claims_of, parse_login
from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts, Tokens, sample_accounts
from tests.in_container.broker_served import login_file

DAY = 24 * 3600


@pytest.fixture
def account() -> Account:
    return sample_accounts(1)[0]


@pytest.fixture
def tokens(account: Account) -> Tokens:
    return Accounts([account]).sign_in(account)


def jwt(claims: dict[str, Any]) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()}.c2lnbmF0dXJl"


def test_the_dummy_is_the_same_account(account: Account, tokens: Tokens) -> None:
    """Account, address and plan are as in the real file; it does not end within the run."""
    real = login_file(tokens, account)
    dummy = Dummy(parse_login(real)).login_file().encode()
    facts, of_the_real = login_facts(dummy), login_facts(real)
    assert facts.usable
    assert (facts.account, facts.email, facts.plan) == (of_the_real.account, of_the_real.email, of_the_real.plan)
    for name in ("id_token", "access_token"):
        assert jwt_claims(json.loads(dummy)["tokens"][name])["exp"] > time.time() + 399 * DAY
    assert facts.made_at is not None
    assert abs(facts.made_at.timestamp() - time.time()) < 60


def test_the_dummy_has_no_part_of_a_real_token(account: Account, tokens: Tokens) -> None:
    """Neither payload nor signature, nor the refresh token; and no claim that Codex does not need."""
    dummy = Dummy(parse_login(login_file(tokens, account))).login_file()
    for token in (tokens.id_token, tokens.access_token):
        assert not any(part in dummy for part in token.split(".")[1:])
        assert (
            str(jwt_claims(token)["jti"])
            not in base64.b64decode(json.loads(dummy)["tokens"]["access_token"].split(".")[1] + "==").decode()
        )
    assert tokens.refresh_token not in dummy


def test_only_known_claims_of_plain_values_are_kept() -> None:
    """A claim may contain anything in a future version."""
    openai = "https://api.openai.com/auth"
    given = {
        "email": "a@b.example",
        "secret": "x",
        openai: {"chatgpt_account_id": "a", "chatgpt_plan_type": {"deep": 1}, "session": "x", "user_id": "u" * 300},
    }
    assert claims_of(jwt(given)) == {"email": "a@b.example", openai: {"chatgpt_account_id": "a"}}
    assert claims_of("not a token") == claims_of(None) == {}


@pytest.mark.parametrize("end", [10**400, -1, "tomorrow", None, [1]])
def test_an_end_that_is_no_time_is_unknown(end: object) -> None:
    """The login is then used as it is."""
    content = {"tokens": {"access_token": jwt({"exp": end}), "account_id": "a"}}
    assert parse_login(json.dumps(content).encode()).expires is None


def test_two_dummies_are_different(account: Account, tokens: Tokens) -> None:
    """One run's is worth nothing in another."""
    real = parse_login(login_file(tokens, account))
    one, other = Dummy(real), Dummy(real)
    assert not other.is_bearer(f"Bearer {one.access_token}".encode())
    assert one.is_bearer(f"Bearer {one.access_token}".encode())
    asked = json.dumps({"grant_type": "refresh_token", "refresh_token": one.refresh_token}).encode()
    assert (one.is_refresh(asked), other.is_refresh(asked)) == (True, False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"tokens": null}',
        b'{"tokens": {"access_token": "a b", "account_id": "x"}}',
        b'{"tokens": {"access_token": "a\\r\\nX: y", "account_id": "x"}}',
        b'{"tokens": {"access_token": "a", "account_id": 5}}',
        b'{"auth_mode": "agent", "tokens": {"access_token": "a", "account_id": "x"}}',
    ],
)
def test_a_file_without_a_usable_login_is_refused(content: bytes) -> None:
    """A value that could not be a header's is none."""
    with pytest.raises(NoLogin):
        parse_login(content)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, account: Account, tokens: Tokens) -> None:
    """Another login in its place is found; without a file there is none."""
    path = tmp_path / "auth.json"
    path.write_bytes(login_file(tokens, account))
    file = LoginFile(path)
    assert file.read().access_token == tokens.access_token
    assert file.read() is file.read()
    other = Accounts([account]).sign_in(account)
    (tmp_path / "new").write_bytes(login_file(other, account))
    (tmp_path / "new").rename(path)
    assert file.read().access_token == other.access_token
    path.unlink()
    with pytest.raises(NoLogin, match="The shard has no login"):
        file.read()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoLogin):
        file.read()
