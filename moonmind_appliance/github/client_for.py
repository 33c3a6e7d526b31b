"""A client for one repository for a short time, with the credential of the settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from moonmind_appliance.github.app import GitHubApp
from moonmind_appliance.github.connection import DEFAULT_PAUSES, DEFAULT_TIMEOUT
from moonmind_appliance.github.known_tokens import KnownTokens
from moonmind_appliance.github.rest import GitHub
from moonmind_appliance.settings import Settings


@contextmanager
def client_for(
    settings: Settings,
    slug: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    pauses: Sequence[float] = DEFAULT_PAUSES,
    transport: httpx.BaseTransport | None = None,
    known: KnownTokens | None = None,
) -> Iterator[GitHub | None]:
    """The client; None without a credential. At the end of the block its tokens are revoked, if the App took any.

    Raises:
        SettingsError: the token cannot be sent, or a CA file cannot be used.
        OSError: a CA file cannot be read.
    """
    app = GitHubApp.of(settings, timeout=timeout, pauses=pauses, transport=transport, known=known)
    if app is None:
        client = GitHub.of(settings, timeout=timeout, pauses=pauses, transport=transport)
    else:
        client = app.client(slug)
    try:
        yield client
    finally:
        if client is not None:
            client.tokens.end()
            client.close()
        if app is not None:
            app.close()
