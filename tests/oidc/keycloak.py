"""Runs a real Keycloak for the test session, with the delivered realm imported.

A folder that needs it has in its conftest: `from tests.oidc.keycloak import keycloak`. One server runs for all of
them, from the first test that uses it to the end of the session.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
REALM_FILE = ROOT / "job_image" / "keycloak" / "moonmind-realm.json"
REALM = "moonmind"
OTHER_REALM = "elsewhere"
START_SECONDS = 150


@dataclass(frozen=True)
class User:
    """One user of the realm."""

    id: str
    username: str
    password: str


class Keycloak:
    """The server and an administrator's actions. `start` again after `stop`: same port, same data."""

    def __init__(self, distribution: Path, folder: Path) -> None:
        self.home = folder / "keycloak"
        # Hard links: the distribution is only read, and Keycloak keeps its data in the same folder.
        shutil.copytree(distribution, self.home, copy_function=_link, symlinks=True)
        realm = REALM_FILE.read_text(encoding="utf-8")
        # The same realm under another name, without a configured secret.
        other = realm.replace(f'"realm": "{REALM}"', f'"realm": "{OTHER_REALM}"')
        other = other.replace("${API_CLIENT_SECRET:", "${MOONMIND_TESTS_NEVER_SET:")
        imports = self.home / "data" / "import"
        imports.mkdir(parents=True, exist_ok=True)
        (imports / "moonmind-realm.json").write_text(realm, encoding="utf-8")
        (imports / "elsewhere-realm.json").write_text(other, encoding="utf-8")
        self.port = _free_port()
        self.base_url = f"http://localhost:{self.port}"
        self.internal_url = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.base_url}/realms/{REALM}"
        self.client_id = "api-service"
        self.client_secret = secrets.token_urlsafe(24)
        self.log = folder / "keycloak.log"
        self._admin_password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=30)
        self._admin_token = ("", 0.0)

    def start(self) -> None:
        """Start, and wait until the realm answers."""
        assert self._process is None
        environment = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._admin_password,
            "API_CLIENT_SECRET": self.client_secret,
            # Only the quick compiler, as the process is short-lived.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # It ends with this process in any case; kc.sh passes the signal on to Java.
                    *("setpriv", "--pdeathsig", "TERM"),
                    self.home / "bin" / "kc.sh",
                    "start",
                    "--optimized",
                    "--import-realm",
                    "--cache=local",
                    "--http-enabled=true",
                    "--http-host=127.0.0.1",
                    f"--http-port={self.port}",
                    "--hostname-strict=false",
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            assert self._process.poll() is None, f"Keycloak ended:\n{self._last_words()}"
            try:
                if self._http.get(f"{self.internal_url}/realms/{OTHER_REALM}").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.stop()
        pytest.fail(f"Keycloak did not come up in {START_SECONDS} s:\n{self._last_words()}")

    def stop(self) -> None:
        """Stop it and its child processes. Safe twice."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.terminate()
            process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        self.stop()
        self._http.close()

    def add_user(self, username: str, *, roles: tuple[str, ...] = (), realm: str = REALM) -> User:
        """Add a user as an administrator does: only a name and a password that is not temporary."""
        user_name = f"{username}-{secrets.token_hex(3)}"
        password = secrets.token_urlsafe(12)
        made = self.admin(
            "POST",
            "users",
            {
                "username": user_name,
                "enabled": True,
                "credentials": [{"type": "password", "value": password, "temporary": False}],
            },
            realm=realm,
        )
        user = User(made.headers["Location"].rsplit("/", 1)[1], user_name, password)
        if roles:
            found = [self.admin("GET", f"roles/{role}", realm=realm).json() for role in roles]
            self.admin("POST", f"users/{user.id}/role-mappings/realm", found, realm=realm)
        return user

    def set_enabled(self, user: User, *, enabled: bool) -> None:
        self.admin("PUT", f"users/{user.id}", {"enabled": enabled})

    def add_signing_key(self, *, priority: int, algorithm: str = "RS256") -> str:
        """Add a signing key; the one with the highest priority signs. Returns the id of its provider."""
        if algorithm.startswith("ES"):
            kind, more = "ecdsa-generated", {"ecdsaEllipticCurveKey": ["P-256"]}
        else:
            kind, more = "rsa-generated", {"algorithm": [algorithm], "keySize": ["2048"]}
        made = self.admin(
            "POST",
            "components",
            {
                "name": f"key-{secrets.token_hex(3)}",
                "providerId": kind,
                "providerType": "org.keycloak.keys.KeyProvider",
                "config": {"priority": [str(priority)], "enabled": ["true"], "active": ["true"], **more},
            },
        )
        return made.headers["Location"].rsplit("/", 1)[1]

    def remove_key(self, provider: str) -> None:
        self.admin("DELETE", f"components/{provider}")

    def password_grant(
        self, user: User, *, realm: str = REALM, secret: str | None = None, **more: str
    ) -> httpx.Response:
        """Keycloak's answer to a password grant by the confidential client."""
        return self._http.post(
            f"{self.base_url}/realms/{realm}/protocol/openid-connect/token",
            data={
                "grant_type": "password",
                "client_id": self.client_id,
                "client_secret": secret or self.client_secret,
                "username": user.username,
                "password": user.password,
                "scope": "openid",
                **more,
            },
        )

    def tokens(self, user: User) -> dict[str, Any]:
        """`access_token`, `refresh_token`, `id_token` and more of a user."""
        answer = self.password_grant(user)
        assert answer.status_code == httpx.codes.OK, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def admin(self, method: str, path: str, body: object = None, *, realm: str = REALM) -> httpx.Response:
        """Call Keycloak's admin API for the realm."""
        token, ends = self._admin_token
        if time.monotonic() > ends:
            answer = self._http.post(
                f"{self.internal_url}/realms/master/protocol/openid-connect/token",
                data={
                    "grant_type": "password",
                    "client_id": "admin-cli",
                    "username": "admin",
                    "password": self._admin_password,
                },
            )
            answer.raise_for_status()
            token = answer.json()["access_token"]
            self._admin_token = (token, time.monotonic() + 30)
        url = f"{self.internal_url}/admin/realms/{realm}/{path}".rstrip("/")
        answer = self._http.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_RUNNING = pytest.StashKey[Keycloak]()


@pytest.fixture(scope="session")
def keycloak(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Keycloak:
    """The session's Keycloak, running."""
    if _RUNNING not in request.config.stash:
        script = ROOT / "tests" / "setup" / "keycloak.sh"
        done = subprocess.run(["bash", script], stdout=subprocess.PIPE, text=True, check=True)
        server = Keycloak(Path(done.stdout.splitlines()[-1]), tmp_path_factory.mktemp("keycloak"))
        stop: Callable[[], None] = server.close
        request.config.add_cleanup(stop)
        server.start()
        request.config.stash[_RUNNING] = server
    return request.config.stash[_RUNNING]
