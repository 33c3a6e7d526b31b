"""Login from a terminal: against a real Keycloak, and against answers that Keycloak gives rarely."""

import json
import stat
import threading
import time

import msgspec
import pytest

from moonmind_appliance.errors import LoginError
from moonmind_appliance.oidc.device_login import DeviceCode, DeviceLogin, current_access_token
from moonmind_appliance.oidc.token_file import SavedLogin, TokenFile
from moonmind_appliance.oidc.verifier import OidcVerifier
from tests.oidc.browser import Browser
from tests.oidc.clock import Clock
from tests.oidc.keycloak import Keycloak, User
from tests.oidc.realm_server import PATH, RealmServer


def confirm(code: DeviceCode, user: User, *, button: str = "accept") -> str:
    """Do the user's part; returns the last page."""
    with Browser() as browser:
        browser.open(code.verification_uri)
        browser.submit(device_user_code=code.user_code)
        browser.submit(username=user.username, password=user.password)
        browser.submit(button)
        return browser.page


def lapsed(login: SavedLogin) -> SavedLogin:
    """The same login after its access token has expired."""
    return msgspec.structs.replace(login, access_expires_at=0)


class Sleep:
    """Replaces sleeping: executes these actions in sequence, then nothing."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.asked: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if self.steps:
            self.steps.pop(0)()


def nothing() -> None:
    pass


@pytest.mark.keycloak
@pytest.mark.timeout(600)
class TestAgainstKeycloak:
    @pytest.fixture
    def keycloak(self, keycloak: Keycloak):
        """The delivered realm, with a shorter polling interval."""
        keycloak.admin("PUT", "", {"oauth2DevicePollingInterval": 1})
        yield keycloak
        keycloak.admin("PUT", "", {"oauth2DevicePollingInterval": 5, "revokeRefreshToken": False})

    def login(self, keycloak: Keycloak, user: User) -> SavedLogin:
        with DeviceLogin(issuer=keycloak.issuer, client_id="moonmind-cli", sleep=nothing_at_all) as login:
            code = login.start()
            confirm(code, user)
            return login.wait(code)

    def test_a_confirmed_code_gives_a_token_for_the_api(self, keycloak):
        """The user types the code, signs in and confirms; the token is for `api-service`."""
        user = keycloak.add_user("maya", roles=("operator",))
        with DeviceLogin(issuer=keycloak.issuer, client_id="moonmind-cli") as login:
            code = login.start()
            sleep = Sleep(nothing, nothing, lambda: confirm(code, user), *[lambda: time.sleep(1.1)] * 3)
            login._sleep = sleep
            saved = login.wait(code)
        # A poll was too early, and Keycloak answered `slow_down`.
        assert sleep.asked[:3] == [1, 1, 6]
        assert (saved.username, saved.issuer) == (user.username, keycloak.issuer)
        with OidcVerifier(issuer=keycloak.issuer, client_id="api-service", operator_role="operator") as verifier:
            actor = verifier.verify(saved.access_token)
        assert (actor.subject, actor.operator) == (user.id, True)

    def test_the_complete_address_needs_no_typing(self, keycloak):
        """`verification_uri_complete`, as in a QR code, leads to the login at once."""
        user = keycloak.add_user("maya")
        with DeviceLogin(issuer=keycloak.issuer, client_id="moonmind-cli", sleep=nothing_at_all) as login:
            code = login.start()
            with Browser() as browser:
                browser.open(code.verification_uri_complete)
                browser.submit(username=user.username, password=user.password)
                browser.submit("accept")
            assert login.wait(code).username == user.username

    def test_declined(self, keycloak):
        """A user who declines gets no token, and the terminal says so."""
        user = keycloak.add_user("maya")
        with DeviceLogin(issuer=keycloak.issuer, client_id="moonmind-cli", sleep=nothing_at_all) as login:
            code = login.start()
            confirm(code, user, button="cancel")
            with pytest.raises(LoginError) as refused:
                login.wait(code)
        assert refused.value.code == "login_denied"

    def test_lapsed_code(self, keycloak):
        """A code that was not confirmed in time has expired."""
        keycloak.admin("PUT", "", {"oauth2DeviceCodeLifespan": 1})
        try:
            with DeviceLogin(issuer=keycloak.issuer, client_id="moonmind-cli", clock=Clock()) as login:
                code = login.start()
                assert code.expires_in == 1
                login._sleep = Sleep(lambda: time.sleep(1.5), lambda: time.sleep(1.5), lambda: time.sleep(1.5))
                with pytest.raises(LoginError) as refused:
                    login.wait(code)
        finally:
            keycloak.admin("PUT", "", {"oauth2DeviceCodeLifespan": 600})
        assert refused.value.code == "login_code_expired"

    def test_a_client_that_may_not(self, keycloak):
        """A client without the device grant is refused with Keycloak's message."""
        with (
            DeviceLogin(issuer=keycloak.issuer, client_id="account") as login,
            pytest.raises(LoginError) as refused,
        ):
            login.start()
        assert refused.value.code == "login_refused"
        assert "account" in refused.value.message

    def test_a_lapsed_token_is_renewed_and_kept(self, keycloak, tmp_path):
        """The saved login is renewed without the user, in a file that only its owner can read."""
        user = keycloak.add_user("maya")
        file = TokenFile(tmp_path / "login.json")
        first = self.login(keycloak, user)
        file.save(lapsed(first))
        token = current_access_token(file)
        assert token != first.access_token
        kept = file.load()
        assert kept is not None
        assert kept.access_token == token
        assert kept.access_expires_at > time.time() + 1700
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert current_access_token(file) == token

    def test_one_refresh_token_is_spent_once(self, keycloak, tmp_path):
        """If a refresh token works only once, parallel commands do not break the login."""
        user = keycloak.add_user("maya")
        keycloak.admin("PUT", "", {"revokeRefreshToken": True, "refreshTokenMaxReuse": 0})
        path = tmp_path / "login.json"
        TokenFile(path).save(lapsed(self.login(keycloak, user)))
        tokens: list[str] = []
        threads = [
            threading.Thread(target=lambda: tokens.append(current_access_token(TokenFile(path)))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(tokens) == 6
        assert len(set(tokens)) == 1

    def test_a_disabled_user_must_log_in_again(self, keycloak, tmp_path):
        """At the next renewal, within the lifetime of an access token, a disabled user loses access."""
        user = keycloak.add_user("maya")
        file = TokenFile(tmp_path / "login.json")
        file.save(lapsed(self.login(keycloak, user)))
        keycloak.set_enabled(user, enabled=False)
        with pytest.raises(LoginError) as refused:
            current_access_token(file)
        assert refused.value.code == "login_lapsed"


def nothing_at_all(seconds: float) -> None:
    """No wait: the code was confirmed before."""


@pytest.fixture
def realm():
    with RealmServer() as server:
        yield server


TOKENS = {"access_token": "opaque", "expires_in": 1800, "token_type": "Bearer", "refresh_token": "next"}


class TestOddAnswers:
    def test_polling_survives_a_short_outage(self, realm):
        """Polling continues after a server error and after a page that is not JSON."""
        realm.token_answers = [(503, b"busy"), (200, b"<html>"), (200, json.dumps(TOKENS).encode())]
        sleep = Sleep()
        with DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli", sleep=sleep) as login:
            saved = login.wait(DeviceCode(device_code="d", user_code="u", verification_uri="v", expires_in=600))
        assert saved.access_token == "opaque"
        assert sleep.asked == [5, 10, 15]

    def test_an_unconfirmed_code(self, realm):
        """Polling ends when the code expires, also if the answer never changes."""
        clock = Clock()
        realm.token_answers = [(400, b'{"error": "authorization_pending"}')] * 50

        def sleep(seconds):
            clock.now += seconds

        with (
            DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli", sleep=sleep, clock=clock) as login,
            pytest.raises(LoginError) as refused,
        ):
            login.wait(DeviceCode(device_code="d", user_code="u", verification_uri="v", expires_in=60))
        assert refused.value.code == "login_code_expired"
        assert len(realm.token_answers) == 50 - 60 // 5

    def test_another_refusal_is_shown_with_keycloaks_message(self, realm):
        """An error other than pending or expired is shown with Keycloak's message."""
        answer = b'{"error": "invalid_client", "error_description": "Client disabled"}'
        realm.token_answers = [(401, answer)]
        with (
            DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli", sleep=Sleep()) as login,
            pytest.raises(LoginError, match="Client disabled") as refused,
        ):
            login.wait(DeviceCode(device_code="d", user_code="u", verification_uri="v", expires_in=60))
        assert refused.value.code == "login_refused"

    def test_a_refresh_without_a_new_refresh_token_keeps_the_old(self, realm):
        """Not every realm issues a new one."""
        realm.token_answers = [(200, b'{"access_token": "new", "expires_in": 60, "token_type": "Bearer"}')]
        with DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli") as login:
            saved = login.refresh(saved_login(realm.issuer))
        assert (saved.access_token, saved.refresh_token) == ("new", "old-refresh")

    @pytest.mark.parametrize("answer", [(503, b"busy"), (200, b"<html>"), (200, b'{"access_token": 5}')])
    def test_a_refresh_that_gets_no_answer_keeps_the_login(self, realm, tmp_path, answer):
        """Errors of Keycloak do not end a login."""
        file = TokenFile(tmp_path / "login.json")
        file.save(saved_login(realm.issuer))
        realm.token_answers = [answer]
        with pytest.raises(LoginError) as refused:
            current_access_token(file)
        assert refused.value.code == "identity_provider_unreachable"
        assert file.load() == saved_login(realm.issuer)

    def test_no_server(self, tmp_path):
        """Without Keycloak at the address, the error contains the address."""
        with RealmServer() as server:
            issuer = server.issuer
        with (
            DeviceLogin(issuer=issuer, client_id="moonmind-cli") as login,
            pytest.raises(LoginError, match=issuer) as refused,
        ):
            login.start()
        assert refused.value.code == "identity_provider_unreachable"

    def test_no_saved_login(self, tmp_path):
        """Without a saved login the error names the command to run."""
        with pytest.raises(LoginError, match="moonmind-appliance login") as refused:
            current_access_token(TokenFile(tmp_path / "login.json"))
        assert refused.value.code == "not_logged_in"

    def test_nothing_secret_is_shown(self):
        """A traceback or a log line shows neither codes nor tokens."""
        code = DeviceCode(device_code="hidden-1", user_code="u", verification_uri="v", expires_in=60)
        assert "hidden" not in repr(code) + str(code)
        saved = saved_login("http://localhost")
        assert "hidden" not in repr(saved) + str(saved)
        assert "old-refresh" not in repr(saved)


def saved_login(issuer: str) -> SavedLogin:
    return SavedLogin(
        issuer=issuer,
        client_id="moonmind-cli",
        username="maya",
        access_token="hidden-2",
        access_expires_at=0,
        refresh_token="old-refresh",
    )


DISCOVERY = f"{PATH}/.well-known/openid-configuration"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("path", [DISCOVERY, f"{PATH}/token"])
def test_a_refresh_token_follows_no_redirect(realm: RealmServer, clock: Clock, path: str) -> None:
    """It is sent only to the realm's own address."""
    with RealmServer(clock) as thief:
        realm.answers[path] = (302, f"{thief.url}{path}".encode())
        login = SavedLogin(
            issuer=realm.issuer,
            client_id="moonmind-cli",
            username="maya",
            access_token="a",
            access_expires_at=0,
            refresh_token="refresh-secret",
        )
        with (
            DeviceLogin(issuer=realm.issuer, client_id="moonmind-cli", clock=clock) as device,
            pytest.raises(LoginError),
        ):
            device.refresh(login)
        assert thief.asked == []
