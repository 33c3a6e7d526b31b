"""One address may try only so many invalid tokens."""

import logging
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.api.failed_authentications import FailedAuthentications
from moonmind_appliance.errors import TooMany
from tests.api.served import Served, serve


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(failures: FailedAuthentications, origin: str, sent: str = "new") -> int | None:
    """The seconds to wait; None if the token is checked."""
    try:
        failures.check(origin, sent)
    except TooMany as error:
        return error.retry_after
    return None


def test_an_address_may_fail_so_often_within_a_minute() -> None:
    """Above the limit, its tokens are not checked until the minute is over. Other addresses are not affected."""
    clock = Clock()
    failures = FailedAuthentications(3, clock)
    for number in range(3):
        assert refused(failures, "192.0.2.1") is None
        failures.failed("192.0.2.1", f"guess-{number}")
    assert refused(failures, "192.0.2.1") == 60
    assert refused(failures, "192.0.2.2") is None
    clock.now += 59.5
    assert refused(failures, "192.0.2.1") == 1
    clock.now += 0.5
    assert refused(failures, "192.0.2.1") is None
    failures.failed("192.0.2.1", "another")
    assert refused(failures, "192.0.2.1") is None


def test_a_token_that_was_valid_is_always_checked_and_never_counted() -> None:
    """Callers behind the same address are not locked out. An expired token is not a guess."""
    failures = FailedAuthentications(1, Clock())
    failures.succeeded("good")
    for _ in range(5):
        failures.failed("192.0.2.1", "good")
    assert refused(failures, "192.0.2.1") is None
    failures.failed("192.0.2.1", "guess")
    assert refused(failures, "192.0.2.1") == 60
    assert refused(failures, "192.0.2.1", "good") is None


def test_without_a_limit_nothing_is_refused() -> None:
    """MAX_FAILED_AUTHENTICATIONS=0 turns the limit off."""
    failures = FailedAuthentications(0, Clock())
    for number in range(100):
        failures.failed("192.0.2.1", f"guess-{number}")
    assert refused(failures, "192.0.2.1") is None


def test_the_memory_is_bounded() -> None:
    """New addresses and tokens replace old ones."""
    failures = FailedAuthentications(1, Clock())
    for number in range(10_000):
        failures.failed(f"address-{number}", "guess")
        failures.succeeded(f"token-{number}")
    assert refused(failures, "address-9999") == 60
    assert refused(failures, "address-0") is None
    assert len(failures._failures) + len(failures._were_valid) == 8192


def get(served: Served, token: str, forwarded: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    return served.client(None).get("/runs", headers=headers)


def test_the_api_answers_429_and_says_when_to_retry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token that was valid still works. An unknown one is not checked. The log names the address."""
    caplog.set_level(logging.WARNING)
    with serve(tmp_path, max_failed_authentications=2) as served:
        assert served.client().get("/runs").status_code == 200
        assert [get(served, f"mma_{'x' * 42}{number}").status_code for number in range(2)] == [401, 401]
        answer = get(served, "mma_" + "y" * 43)
        assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
        assert answer.json()["code"] == "too_many_failed_authentications"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert served.client().get("/runs").status_code == 200
        assert served.client("bob").get("/runs").status_code == 429
    (line,) = [record.getMessage() for record in caplog.records if "invalid tokens" in record.getMessage()]
    assert line.startswith("127.0.0.1 has sent 2 invalid tokens")


def test_a_request_without_a_token_is_not_a_failure(tmp_path: Path) -> None:
    """Such a request is not a guess."""
    with serve(tmp_path, max_failed_authentications=1) as served:
        assert [served.client(None).get("/runs").status_code for _ in range(5)] == [401] * 5


def test_the_header_of_an_untrusted_client_does_not_count(tmp_path: Path) -> None:
    """The client could name another address in each request."""
    with serve(tmp_path, max_failed_authentications=1) as served:
        assert get(served, "mma_" + "x" * 43, "192.0.2.1").status_code == 401
        assert get(served, "mma_" + "y" * 43, "192.0.2.2").status_code == 429


def test_behind_a_trusted_proxy_each_client_counts(tmp_path: Path) -> None:
    """The last address that is not a trusted proxy's counts: the client may have written those before it."""
    with serve(tmp_path, max_failed_authentications=1, trusted_proxies=("127.0.0.1/32", "10.0.0.0/8")) as served:
        assert get(served, "mma_" + "x" * 43, "203.0.113.9, 192.0.2.1, 10.1.2.3").status_code == 401
        assert get(served, "mma_" + "y" * 43, "198.51.100.7, 192.0.2.1").status_code == 429
        assert get(served, "mma_" + "y" * 43, "192.0.2.2").status_code == 401
