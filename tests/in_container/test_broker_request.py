"""Which requests of an agent pass. The attacks on a real connection are in `test_broker_attacks`."""

from collections.abc import Sequence

import pytest

from moonmind_appliance.in_container.broker_request import Action, check_request, end_to_end, real_headers
from moonmind_appliance.in_container.egress_request import Refused

HEADERS = ((b"Host", b"chatgpt.com"), (b"authorization", b"Bearer dummy"))


def check(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]] = HEADERS, host: str = "chatgpt.com"
) -> tuple[Action, str]:
    return tuple(check_request(host, method, target, headers, lambda value: value == b"Bearer dummy"))


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [
        (b"POST", b"/backend-api/codex/responses", "codex/responses"),
        (b"POST", b"/backend-api/codex/responses/compact", "codex/responses/compact"),
        (b"GET", b"/backend-api/codex/models?client_version=0.169.0", "codex/models"),
        (b"GET", b"/backend-api/wham/accounts/check", "wham/accounts/check"),
        (b"GET", b"/backend-api/wham/settings/user", "wham/settings/user"),
        (b"GET", b"/backend-api/wham/config/bundle", "wham/config/bundle"),
        (b"GET", b"/backend-api/wham/usage", "wham/usage"),
    ],
)
def test_codexs_paths_pass_with_their_method(method: bytes, target: bytes, path: str) -> None:
    """The other method does not."""
    assert check(method, target) == (Action.FORWARD, path)
    with pytest.raises(Refused, match="not one of Codex's paths"):
        check(b"GET" if method == b"POST" else b"POST", target)


def test_a_websocket_of_the_model_is_refused_in_its_own_way() -> None:
    """Its login is not checked, because nothing is forwarded."""
    upgrade = [(b"Host", b"chatgpt.com"), (b"Connection", b"Upgrade"), (b"Upgrade", b"WebSocket")]
    assert check(b"GET", b"/backend-api/codex/responses", upgrade)[0] is Action.REFUSE_WEBSOCKET
    with pytest.raises(Refused):
        check(b"POST", b"/backend-api/codex/responses", [*HEADERS, *upgrade[1:]])


def test_the_sign_in_has_one_request() -> None:
    """The refresh, whose body is checked later. The paths of one host are not those of the other."""
    host = [(b"Host", b"auth.openai.com")]
    assert check(b"POST", b"/oauth/token", host, "auth.openai.com")[0] is Action.REFRESH
    for target in (b"/oauth/revoke", b"/oauth/token/", b"/backend-api/codex/responses"):
        with pytest.raises(Refused, match="not one of Codex's paths"):
            check(b"POST", target, host, "auth.openai.com")
    with pytest.raises(Refused, match="not one of Codex's paths"):
        check(b"POST", b"/oauth/token")


def test_a_refusal_shows_the_path_as_it_was_sent_without_its_query() -> None:
    """Redaction finds secrets by their exact bytes. A path that is too long is not shown in parts."""
    with pytest.raises(Refused) as refused:
        check(b"GET", b"/ghp_A%2fB\xff?token=1")
    assert refused.value.shown == "https://chatgpt.com/ghp_A%2fB\\xff"
    with pytest.raises(Refused) as refused:
        check(b"GET", b"/" + b"a" * 1000)
    assert refused.value.shown == "https://chatgpt.com (1001 characters)"
    with pytest.raises(Refused) as refused:
        check(b"GET", b"http://evil.example/")
    assert refused.value.shown == "https://chatgpt.com http://evil.example/"


def test_only_the_login_is_replaced() -> None:
    """Where it was, in the spelling that it had; nothing is added."""
    given = [(b"A", b"1"), (b"AUTHORIZATION", b"Bearer dummy"), (b"a", b"2"), (b"ChatGPT-Account-ID", b"x")]
    real = [(b"A", b"1"), (b"AUTHORIZATION", b"Bearer real"), (b"a", b"2"), (b"ChatGPT-Account-ID", b"account")]
    assert real_headers(given, "real", "account") == real
    assert real_headers([(b"Host", b"x")], "real", "account") == [(b"Host", b"x")]


def test_other_names_with_an_underscore_pass() -> None:
    """Codex has sent some."""
    assert check(b"GET", b"/backend-api/codex/models", [*HEADERS, (b"session_id", b"1")])[0] is Action.FORWARD


def test_headers_for_one_connection_are_removed() -> None:
    """Also those that Connection names."""
    given = [(b"Connection", b"close, X-Own"), (b"x-own", b"1"), (b"Keep-Alive", b"1"), (b"TE", b"x"), (b"Date", b"d")]
    assert end_to_end(given) == [(b"Date", b"d")]
