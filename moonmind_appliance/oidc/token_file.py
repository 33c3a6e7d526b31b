"""Stores the command line's login in one file that only its owner can read."""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from moonmind_appliance.errors import LoginError
from moonmind_appliance.untrusted_json import decode

_OWNER_ONLY = 0o600


class SavedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A login as saved in the file (JSON, these names). Times are seconds since the epoch.

    `username` is only for display, not verified.
    """

    issuer: str
    client_id: str
    username: str
    access_token: str
    access_expires_at: float
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"SavedLogin(issuer={self.issuer!r}, username={self.username!r}, tokens=***)"


class TokenFile:
    """A file with a `SavedLogin`, replaced atomically; its mode is 0600 from its creation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> SavedLogin | None:
        """The last saved login, or None. The permissions of a file that others can read are corrected first.

        Raises:
            LoginError: the file exists and cannot be used.
        """
        try:
            if stat.S_IMODE(self.path.stat().st_mode) & ~_OWNER_ONLY:
                self.path.chmod(_OWNER_ONLY)
            return decode(self.path.read_bytes(), SavedLogin)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LoginError(
                f"The saved login {self.path} cannot be read ({error.strerror}).",
                code="token_file_unusable",
                hint="Check its owner and permissions.",
            ) from error
        except msgspec.DecodeError:
            raise LoginError(
                f"The saved login {self.path} is damaged.",
                code="token_file_unusable",
                hint="Log in again with `moonmind-appliance login`.",
            ) from None

    def save(self, login: SavedLogin) -> None:
        """Replace the saved login.

        Raises:
            LoginError: the folder cannot be written to.
        """
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self._make_folder()
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(login) + b"\n")
                file.flush()
                os.fsync(descriptor)
            beside.replace(self.path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise self._not_writable(error) from error

    def forget(self) -> bool:
        """Remove the login; False if there was none."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclusive use of the file among all processes: two of them must not use the same refresh token.

        Raises:
            LoginError: the folder cannot be written to.
        """
        try:
            self._make_folder()
            descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        except OSError as error:
            raise self._not_writable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _not_writable(self, error: OSError) -> LoginError:
        return LoginError(
            f"The login cannot be saved to {self.path} ({error.strerror}).",
            code="token_file_unusable",
            hint="Make the directory writable for this user.",
        )

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def default_token_path(environment: Mapping[str, str]) -> Path:
    """`moonmind-appliance/login.json` in the user's configuration folder (XDG Base Directory)."""
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(environment.get("HOME", "~")).expanduser() / ".config"
    return folder / "moonmind-appliance" / "login.json"
