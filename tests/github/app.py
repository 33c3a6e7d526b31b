"""A GitHub App on the stand-in, and the product's own client for it."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from moonmind_appliance.github import GitHubApp, KnownTokens
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import PrivateKey, Settings
from tests.github.exchanges import Recorder
from tests.github.openapi import Description
from tests.github.stand_in import SLUG

APP_ID = 4711
CLIENT_ID = "Iv23liReadingList0001"
ACCOUNT = SLUG.partition("/")[0]
NEEDED = {"contents": "write", "pull_requests": "write", "metadata": "read"}
_opened: list[GitHubApp] = []


@functools.cache
def app_key(number: int = 0) -> RSAKey:
    """An App's key; making one takes a tenth of a second."""
    return RSAKey.generate_key(2048)


def private_pem(key: RSAKey) -> PrivateKey:
    return PrivateKey(key.as_pem(private=True).decode())


class Known:
    """A `KnownTokens` that records each value, and how many requests GitHub had got before."""

    def __init__(self, stand_in: StandInGitHub) -> None:
        self.learnt: list[tuple[str, str, int]] = []
        self.forgotten: list[str] = []
        self._stand_in = stand_in

    def learn(self, source: str, secrets: Mapping[str, str], *, signed_in: bool = False) -> None:
        assert signed_in
        self.learnt += [(source, value, len(self._stand_in.requests)) for value in secrets.values()]

    def forget(self, source: str) -> None:
        self.forgotten.append(source)


class ShiftedClock:
    """A clock that a test can advance, together with the stand-in's."""

    def __init__(self, stand_in: StandInGitHub | None = None) -> None:
        self.ahead = 0.0
        self._stand_in = stand_in

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
        if self._stand_in is not None:
            self._stand_in.pass_time(seconds)

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.ahead, UTC)


def register(stand_in: StandInGitHub, *, repositories: Iterable[str] | None = None, **installed: Any) -> int:
    """The App, installed on the account; returns the installation's id."""
    stand_in.add_app(APP_ID, app_key().as_pem(private=False), client_id=CLIENT_ID)
    return stand_in.install_app(APP_ID, ACCOUNT, repositories=repositories, **installed)


def app_settings(api_url: str, app_id: str = str(APP_ID), key: RSAKey | None = None) -> Settings:
    return Settings(github_api_url=api_url, github_app_id=app_id, github_app_private_key=private_pem(key or app_key()))


def app_of(
    stand_in: StandInGitHub,
    *,
    app_id: str = str(APP_ID),
    key: RSAKey | None = None,
    transport: httpx.BaseTransport | None = None,
    known: KnownTokens | None = None,
    clock: Callable[[], datetime] | None = None,
    api_url: str = "",
    settling: tuple[float, ...] = (),
) -> GitHubApp:
    """The product's client of the App; `close_apps` closes it."""
    app = GitHubApp.of(
        app_settings(api_url or stand_in.api_url, app_id, key),
        pauses=(0.0, 0.0),
        transport=transport,
        known=known,
        clock=clock or ShiftedClock(),
        settling=settling,
    )
    assert app is not None
    _opened.append(app)
    return app


def close_apps() -> None:
    """Close every client that `app_of` made."""
    while _opened:
        _opened.pop().close()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_apps()


@pytest.fixture
def exchanges(descriptions: list[Description]) -> Iterator[Recorder]:
    """At the end, each request and each answer must match GitHub's description."""
    recorder = Recorder()
    yield recorder
    errors = [c for d in descriptions for e in recorder.exchanges for c in d.errors(e)]
    assert not errors, "\n".join(errors)


def taken(stand_in: StandInGitHub) -> int:
    """How many tokens were given out."""
    return len(stand_in.installation_tokens)
