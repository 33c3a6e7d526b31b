"""A small HTTP server that answers like a realm, for cases that a real Keycloak produces rarely or never."""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from joserfc import jwk, jws

PATH = "/realms/moonmind"


class RealmServer:
    """Its answers can be changed at any time. `asked` are the requested paths, in order."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.key = signing_key("first")
        self.keys: list[Mapping[str, Any]] = [public(self.key)]
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.discovery: dict[str, str] = {}
        self.token_answers: list[tuple[int, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = self.url + PATH

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A valid access token's claims, with changes; None removes one."""
        now = int(self.clock())
        usual = {
            "iss": self.issuer,
            "typ": "Bearer",
            "sub": "subject-1",
            "azp": "api-service",
            "preferred_username": "maya",
            "iat": now,
            "exp": now + 1800,
        }
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, *, key: jwk.Key | None = None, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        return sign(self.claims(**changes), key or self.key, header)

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if method == "POST" and path == f"{PATH}/token":
            return self.token_answers.pop(0)
        if path == f"{PATH}/.well-known/openid-configuration":
            return 200, json.dumps(
                {
                    "issuer": self.issuer,
                    "jwks_uri": f"{self.issuer}/certs",
                    "token_endpoint": f"{self.issuer}/token",
                    "device_authorization_endpoint": f"{self.issuer}/auth/device",
                    **self.discovery,
                }
            ).encode()
        if path == f"{PATH}/certs":
            return 200, json.dumps({"keys": self.keys}).encode()
        return 404, b"{}"


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, realm: RealmServer, *arguments: Any) -> None:
        self.realm = realm
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        status, body = self.realm.answer(self.command, self.path)
        self.send_response(status)
        if status in {301, 302}:
            self.send_header("Location", body.decode())
            body = b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def signing_key(kid: str, algorithm: str = "RS256") -> jwk.Key:
    parameters: Any = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm.startswith("ES"):
        curve: Any = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
        return jwk.ECKey.generate_key(curve, parameters)
    return jwk.RSAKey.generate_key(2048, parameters)


def public(key: jwk.Key, **changes: Any) -> dict[str, Any]:
    described = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in described.items() if value is not None}


def packed(data: bytes) -> str:
    """Base64url without padding, as in a token."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign(payload: Mapping[str, Any] | bytes, key: jwk.Key, header: Mapping[str, Any] | None = None) -> str:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    protected = {"alg": key.alg or "RS256", "kid": key.kid, "typ": "JWT", **(header or {})}
    protected = {name: value for name, value in protected.items() if value is not None}
    return jws.serialize_compact(protected, data, key, algorithms=[protected["alg"]])
