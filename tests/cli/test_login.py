"""`login`, `token show`, `logout`: Keycloak's device grant from the command line."""

import json
import stat

import pytest

from tests.cli.terminal import Terminal
from tests.oidc.realm_server import PATH, RealmServer


@pytest.fixture
def realm() -> RealmServer:
    return RealmServer()


def offer(realm: RealmServer, **claims: object) -> str:
    """Let the realm issue a code, answer once with pending, then issue tokens; returns the access token."""
    code = {
        "device_code": "device-secret",
        "user_code": "WDJB-MJHT",
        "verification_uri": f"{realm.issuer}/device",
        "verification_uri_complete": f"{realm.issuer}/device?user_code=WDJB-MJHT",
        "expires_in": 600,
        "interval": 1,
    }
    realm.answers[f"{PATH}/auth/device"] = (200, json.dumps(code).encode())
    return grant(realm, **claims)


def grant(realm: RealmServer, seconds: int = 1800, **claims: object) -> str:
    access = realm.token(**claims)
    tokens = {"access_token": access, "expires_in": seconds, "refresh_token": "refresh-secret", "token_type": "Bearer"}
    realm.token_answers.append((200, json.dumps(tokens).encode()))
    return access


def test_a_login_is_shown_kept_and_used(terminal: Terminal, realm: RealmServer) -> None:
    """The prompt is on stderr; only the owner can read the file; `token show` prints only the token."""
    with realm:
        access = offer(realm)
        called = terminal.call("login", "--issuer", realm.issuer)
        shown = terminal.call("token", "show")
    assert called.code == 0
    assert "enter the code WDJB-MJHT" in called.stderr
    assert "Logged in as maya" in called.stdout
    file = terminal.home / "config/moonmind-appliance/login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert shown.stdout == access + "\n"
    assert not {"device-secret", "refresh-secret", access} & set((called.stdout + called.stderr).split())


def test_a_token_that_is_about_to_end_is_refreshed(terminal: Terminal, realm: RealmServer) -> None:
    """Any command that needs it refreshes it."""
    with realm:
        offer(realm)
        realm.token_answers.clear()
        grant(realm, seconds=5)
        assert terminal.call("login", "--issuer", realm.issuer).code == 0
        fresh = grant(realm, preferred_username="maya", jti="2")
        assert terminal.call("token", "show", "--json").json["token"] == fresh


def test_programs_get_an_object_a_line(terminal: Terminal, realm: RealmServer) -> None:
    """The first object has the prompt, the second the user; none has a token."""
    with realm:
        offer(realm)
        called = terminal.call("login", "--issuer", realm.issuer, "--json")
    assert [line["event"] for line in called.lines] == ["prompt", "logged_in"]
    assert called.lines[0]["address"] == f"{realm.issuer}/device?user_code=WDJB-MJHT"
    assert called.lines[1]["username"] == "maya"


def test_the_realm_of_the_settings_or_of_the_login_before_is_taken(terminal: Terminal, realm: RealmServer) -> None:
    """Without both, the command ends with 2."""
    assert terminal.call("login").code == 2
    with realm:
        offer(realm)
        assert terminal.call("login", OIDC_ISSUER_URL=realm.issuer).code == 0
        offer(realm)
        assert terminal.call("login").code == 0


def test_a_login_that_is_declined_leaves_the_old_one(terminal: Terminal, realm: RealmServer) -> None:
    """The exit code is that of a refusal."""
    with realm:
        access = offer(realm)
        terminal.call("login", "--issuer", realm.issuer)
        realm.token_answers.append((400, b'{"error": "access_denied"}'))
        called = terminal.call("login")
        assert called.code == 5
        assert "declined in the browser" in called.stderr
        assert terminal.call("token", "show").stdout.strip() == access


def test_a_realm_that_does_not_answer(terminal: Terminal) -> None:
    """The exit code differs from that of a refusal."""
    assert terminal.call("login", "--issuer", "http://127.0.0.1:9/realms/moonmind").code == 4


def test_logout_forgets(terminal: Terminal, realm: RealmServer) -> None:
    """`logout` is safe twice; afterwards `token show` fails."""
    with realm:
        offer(realm)
        terminal.call("login", "--issuer", realm.issuer)
    assert terminal.call("logout", "--json").json["removed"] is True
    assert terminal.call("logout", "--json").json["removed"] is False
    called = terminal.call("token", "show")
    assert (called.code, called.stdout) == (5, "")
