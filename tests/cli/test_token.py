"""Tokens: shown once, listed without their values, revoked at once."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.api.served import BASE, Served
from tests.cli.terminal import Terminal


def test_a_token_that_was_made_is_taken_by_the_api(terminal: Terminal, served: Served) -> None:
    """Only the token goes to stdout; a running appliance accepts it at once."""
    made = terminal.call("token", "create", "--name", "zoe")
    token = made.stdout.strip()
    assert re.fullmatch(r"mma_[A-Za-z0-9_-]{43}", token)
    answer = httpx.get(f"{served.address}{BASE}/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    shards = httpx.get(f"{served.address}{BASE}/shards", headers={"Authorization": f"Bearer {token}"})
    assert shards.status_code == 403


def test_an_operators_token_sees_shards(terminal: Terminal, served: Served) -> None:
    """With --json the token is a field of the one object."""
    made = terminal.call("token", "create", "--name", "zoe", "--role", "operator", "--expires", "90d", "--json").json
    ends = datetime.fromisoformat(made["expires_at"])
    assert timedelta(days=89) < ends - datetime.now(UTC) <= timedelta(days=90)
    answer = httpx.get(f"{served.address}{BASE}/shards", headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status_code == 200


def test_a_revoked_token_is_refused(terminal: Terminal, served: Served) -> None:
    """Revoking has immediate effect; the name is free again."""
    token = terminal.call("token", "create", "--name", "zoe").stdout.strip()
    assert terminal.call("token", "revoke", "zoe").code == 0
    answer = httpx.get(f"{served.address}{BASE}/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert terminal.call("token", "create", "--name", "zoe").code == 0


def test_a_list_never_contains_a_token(terminal: Terminal) -> None:
    """The list has names, roles and expiry; revoked tokens only on request."""
    token = terminal.call("token", "create", "--name", "ann").stdout.strip()
    terminal.call("token", "create", "--name", "gone")
    terminal.call("token", "revoke", "gone")
    called = terminal.call("token", "list", "--json")
    assert [(row["name"], row["role"], row["state"]) for row in called.json] == [("ann", "user", "in use")]
    assert [row["state"] for row in terminal.call("token", "list", "--all", "--json").json] == ["in use", "revoked"]
    assert token not in called.stdout + terminal.call("token", "list").stdout


def test_a_name_is_given_once(terminal: Terminal) -> None:
    """A name is unique among tokens that are not revoked."""
    terminal.call("token", "create", "--name", "ann")
    called = terminal.call("token", "create", "--name", "ann")
    assert (called.code, called.stdout) == (1, "")
    assert called.stderr == "error: A token named ann already exists. Revoke it first, or choose another name.\n"


def test_with_keycloak_no_token_is_created(terminal: Terminal) -> None:
    """The API would not accept it. Tokens from before are listed with a warning, and can be revoked."""
    terminal.call("token", "create", "--name", "ann")
    terminal.variables |= {"AUTH_PROVIDER": "keycloak", "OIDC_ISSUER_URL": "https://sso.example.com/realms/moonmind"}
    called = terminal.call("token", "create", "--name", "zoe")
    assert (called.code, called.stdout) == (1, "")
    assert called.stderr.startswith("error: AUTH_PROVIDER is keycloak: the API would never accept a token")
    assert "`moonmind-appliance login`, then `moonmind-appliance token show`" in called.stderr
    listed = terminal.call("token", "list", "--json")
    assert [row["name"] for row in listed.json] == ["ann"]
    assert listed.stderr == "AUTH_PROVIDER is keycloak: the API accepts none of these tokens.\n"
    assert terminal.call("token", "revoke", "ann").code == 0


def test_revoking_a_missing_token_is_an_error(terminal: Terminal) -> None:
    """The exit code is that of a missing object."""
    assert terminal.call("token", "revoke", "nobody").code == 6


@pytest.mark.parametrize("when", ["90", "d90", "0d", "2020-01-01", "2026-13-01", "99999d", "soon"])
def test_an_invalid_expiry_is_refused(terminal: Terminal, when: str) -> None:
    """An invalid expiry creates no token."""
    called = terminal.call("token", "create", "--name", "ann", "--expires", when)
    assert called.code == 2
    assert terminal.call("token", "list", "--json").json == []
