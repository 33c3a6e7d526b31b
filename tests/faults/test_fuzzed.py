"""The fuzzer of the egress container's parsers finds what it must find."""

import asyncio
import random

import pytest

from tests.faults.fuzzed import PASSED, REFUSED, check_forwarded, fuzz_head, fuzz_request
from tests.faults.run_parsers import fuzz

GOOD = (
    b"POST /backend-api/codex/responses HTTP/1.1\r\nauthorization: Bearer real.login.token\r\n"
    b"host: chatgpt.com\r\ncontent-length: 2\r\n\r\nok"
)


def test_a_short_run_reaches_both_results_of_each_parser() -> None:
    """Changes that only break an input would test nothing."""
    found = asyncio.run(fuzz(1.0, 1))
    for results in found.values():
        assert {PASSED, REFUSED} <= set(results)


def test_a_seed_gives_the_same_inputs() -> None:
    """A violation can be repeated."""
    one, other = random.Random(3), random.Random(3)  # noqa: S311 - reproducible, not secret
    assert [fuzz_head(one) for _ in range(50)] == [fuzz_head(other) for _ in range(50)]
    assert asyncio.run(fuzz_request(one)) == asyncio.run(fuzz_request(other))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"codex/responses", b"codex/alpha/search"),
        (b"codex/responses", b"codex/../x"),
        (b"POST /", b"POST https://evil.example/"),
        (b"real.login.token", b"dum.my.token"),
        (b"host: chatgpt.com", b"host: evil.example"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\nhost: chatgpt.com"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\nauthorization: Bearer real.login.token"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\ntransfer-encoding: chunked"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\nconnection: x"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\nchatgpt-account-id: another"),
        (b"host: chatgpt.com", b"host: chatgpt.com\r\nx: a\nb: c"),
        (b"ok", b"okGET / HTTP/1.1"),
        (b"ok", b"o"),
    ],
)
def test_a_request_that_must_not_reach_openai_is_a_violation(old: bytes, new: bytes) -> None:
    """The rules are written again, without the broker's code."""
    check_forwarded(GOOD, complete=True)
    with pytest.raises(AssertionError):
        check_forwarded(GOOD.replace(old, new), complete=True)
