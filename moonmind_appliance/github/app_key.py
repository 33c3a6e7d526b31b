"""The private key of a GitHub App, and the JSON web tokens that it signs.

GitHub's rules: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app, "Generating a JSON Web Token
(JWT) for a GitHub App": RS256; `iat` 60 seconds in the past, because clocks differ; `exp` at most 10 minutes ahead;
`iss` is the App's id or client id.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.github.tokens import LEFT_AT_USE, CredentialReport
from moonmind_appliance.settings import Secret

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

_ISSUED_BEFORE = timedelta(seconds=60)
# GitHub's clock may be behind this machine's by as much as `iat` allows.
_EXPIRES_AFTER = timedelta(minutes=9)
# A JWT is reused for this long; after that it is still valid long enough for a slow request.
_USED_FOR = timedelta(minutes=5)
_SMALLEST_KEY = 2048


class AppKey:
    """A `TokenSource` of JWTs. The key is read at the first use, because that loads the cryptographic library.

    `known` gets each JWT before it is used.
    """

    may_push = False

    def __init__(
        self, app_id: str, key: Secret, clock: Callable[[], datetime], known: Callable[[str], object] | None = None
    ) -> None:
        self._app_id = app_id
        self._pem = key
        self._clock = clock
        self._known = known
        self._lock = threading.Lock()
        self._key: RSAKey | None = None
        self._made: tuple[datetime, Secret] | None = None

    def current(self, valid_for: float = LEFT_AT_USE) -> Secret:  # noqa: ARG002 - each JWT is for one request
        """A JWT that GitHub accepts now.

        Raises:
            SettingsError: the key cannot be used.
        """
        with self._lock:
            now = self._clock()
            if self._made is None or not self._made[0] <= now < self._made[0] + _USED_FOR:
                self._made = (now, self._sign(now))
            return self._made[1]

    def settling(self, token: Secret) -> Sequence[float]:  # noqa: ARG002 - the protocol's
        """No pauses: GitHub verifies a JWT by its signature, so a new one is valid at once."""
        return ()

    def replace(self, rejected: Secret) -> None:
        """None: GitHub would also reject another one that is made now. The next request gets a new one."""
        with self._lock:
            if self._made is not None and self._made[1] == rejected:
                self._made = None

    def end(self) -> None:
        """A JWT cannot be revoked."""

    def report(self) -> CredentialReport:
        """Its kind."""
        return CredentialReport(credential="GITHUB_APP_ID", kind="JWT of a GitHub App", app_id=self._app_id)

    def _sign(self, now: datetime) -> Secret:
        from joserfc import jwt  # noqa: PLC0415 - loads the cryptographic library

        if self._key is None:
            self._key = _read(self._pem)
        claims = {
            "iat": int((now - _ISSUED_BEFORE).timestamp()),
            "exp": int((now + _EXPIRES_AFTER).timestamp()),
            "iss": self._app_id,
        }
        made = jwt.encode({"alg": "RS256"}, claims, self._key, algorithms=["RS256"])
        if self._known is not None:
            self._known(made)
        return Secret(made)


def _read(pem: Secret) -> "RSAKey":
    """The key.

    Raises:
        SettingsError: it is not a usable RSA private key.
    """
    from joserfc.errors import JoseError  # noqa: PLC0415 - loads the cryptographic library
    from joserfc.jwk import RSAKey  # noqa: PLC0415 - loads the cryptographic library

    try:
        key = RSAKey.import_key(pem.reveal())
    except (ValueError, TypeError, JoseError):
        # The library's message may quote the key.
        raise _unusable("is not a private RSA key without a password, in PEM format.") from None
    if not key.is_private:
        raise _unusable("is a public key.")
    if key.raw_value.key_size < _SMALLEST_KEY:
        raise _unusable(f"has {key.raw_value.key_size} bits; GitHub's keys have at least {_SMALLEST_KEY}.")
    return key


def _unusable(what: str) -> SettingsError:
    to_do = "Set it to the .pem file that GitHub gave you for the App, complete and unchanged."
    return SettingsError([SettingProblem("GITHUB_APP_PRIVATE_KEY", what, to_do)])
