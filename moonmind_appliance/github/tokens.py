"""Where the token of a call to GitHub comes from, and what happens when GitHub rejects it."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.settings import Secret

LEFT_AT_USE = 300.0
"""Seconds for which a token must still be valid when a request begins, if it can be renewed."""

_PREFIXES = {
    "ghp_": "personal access token (classic)",
    "github_pat_": "fine-grained personal access token",
    "gho_": "OAuth token",
    "ghu_": "user token of a GitHub App",
    "ghs_": "installation token of a GitHub App",
}


T = TypeVar("T")


class UsedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was requested from GitHub: when, why, until when it is valid, and its end. Times are UTC."""

    taken_at: str
    why: str
    expires_at: str
    end: str


class CredentialReport(msgspec.Struct, frozen=True, kw_only=True):
    """The kind of credential and what is known about it, for the credential audit; never a value.

    A field is UNSET if the kind of credential does not have it. `tokens` are those that were requested from GitHub,
    oldest first.
    """

    credential: str
    kind: str | UnsetType = UNSET
    app_id: str | UnsetType = UNSET
    installation_id: int | UnsetType | None = UNSET
    repositories: list[str] | UnsetType = UNSET
    permissions: dict[str, str] | UnsetType = UNSET
    renewed: int | UnsetType = UNSET
    revoked: bool | UnsetType = UNSET
    tokens: list[UsedToken] | UnsetType = UNSET


class TokenSource(Protocol):
    """Gives out tokens. Safe to use from several threads.

    `may_push`: its tokens are known to have write access to the repository.
    """

    may_push: bool

    def current(self, valid_for: float = LEFT_AT_USE) -> Secret:
        """A token that is valid for that many seconds, as far as is known.

        Raises:
            GitHubError: GitHub gave none.
        """

    def settling(self, token: Secret) -> Sequence[float]:
        """Seconds to wait before each repetition of a call for which GitHub does not know this new token yet."""

    def replace(self, rejected: Secret) -> Secret | None:
        """Another token than this one, which GitHub rejected; None if there is none.

        Raises:
            GitHubError: GitHub gave none.
        """

    def end(self) -> None:
        """Revoke the tokens of this source. Never raises; idempotent. Afterwards it gives out no token."""

    def report(self) -> CredentialReport:
        """What is known about its credential."""


def call_with_token(
    tokens: TokenSource,
    call: Callable[[Secret], T],
    *,
    rejects: Callable[[T], bool],
    is_unknown: Callable[[T], bool],
    wait: Callable[[float], object],
    valid_for: float = LEFT_AT_USE,
) -> T:
    """Call GitHub with a token of the source, and return the result.

    While GitHub may not know a new token yet, the call is repeated after pauses. If GitHub rejects the token, the call
    is repeated once with another one: GitHub has not executed it, whatever it was.

    Args:
        tokens: the source.
        call: one call with that token.
        rejects: whether GitHub rejected the token, by the result.
        is_unknown: whether GitHub may not know the token yet, by the result.
        wait: waits that many seconds.
        valid_for: seconds for which the token must be valid.

    Raises:
        GitHubError: GitHub gave no token.
    """
    token = tokens.current(valid_for)
    result = _settled(tokens, token, call, is_unknown, wait)
    if rejects(result) and (other := tokens.replace(token)) is not None:
        result = _settled(tokens, other, call, is_unknown, wait)
    return result


def _settled(
    tokens: TokenSource,
    token: Secret,
    call: Callable[[Secret], T],
    is_unknown: Callable[[T], bool],
    wait: Callable[[float], object],
) -> T:
    result = call(token)
    for pause in tokens.settling(token):
        if not is_unknown(result):
            break
        wait(pause)
        result = call(token)
    return result


class FixedToken:
    """The operator's own token, which is neither renewed nor revoked.

    Raises:
        SettingsError: the token cannot be sent.
    """

    may_push = False

    def __init__(self, token: Secret) -> None:
        if not is_sendable(token):
            raise SettingsError(
                [
                    SettingProblem(
                        "GITHUB_TOKEN",
                        "contains a character that is not allowed in GitHub tokens.",
                        "Set it to the token only: letters, digits and underscores.",
                    )
                ]
            )
        self._token = token

    def current(self, valid_for: float = LEFT_AT_USE) -> Secret:  # noqa: ARG002 - the protocol's
        """The token."""
        return self._token

    def settling(self, token: Secret) -> Sequence[float]:  # noqa: ARG002 - the protocol's
        """No pauses: the token is not new."""
        return ()

    def replace(self, rejected: Secret) -> None:
        """None: there is no other token."""

    def end(self) -> None:
        """The operator's token stays valid."""

    def report(self) -> CredentialReport:
        """Its kind, by its prefix. Only GitHub knows its permissions."""
        return CredentialReport(credential="GITHUB_TOKEN", kind=kind_of(self._token), renewed=0, revoked=False)


def kind_of(token: Secret) -> str:
    """The kind of token, by its prefix (docs.github.com, "About authentication to GitHub", "Token formats")."""
    return next((kind for prefix, kind in _PREFIXES.items() if token.reveal().startswith(prefix)), "token")


def is_sendable(token: Secret) -> bool:
    """Whether a header can contain the token. The HTTP library's own error would contain it."""
    return all("!" <= character <= "~" for character in token.reveal())
