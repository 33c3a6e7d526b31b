"""Whether a text in the form of a token is a token: each filter alone."""

import base64
import json
import time
from collections.abc import Callable

import pytest

from moonmind_appliance.secret_filters import (
    has_checksum,
    is_jwt,
    is_live_jwt,
    is_private_key,
    looks_generated,
    looks_mixed,
    reads_like_an_identifier,
)

RANDOM = b"q7Zt0LwXb3KfVn8RcJ5yHdPm2GsAeU9i"


@pytest.mark.parametrize(
    "text",
    [
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"q7Zt0LwXEXAMPLEfVn8RcJ5yHdPm2Gs",
        b"q7Zt0LwX123456fVn8RcJ5yHdPm2GsAe",
        b"abcdEFGHabcdEFGHabcdEFGHabcdEFGH",
        b"the_other_interrupt_thread_switch",
        b"q7" * 300,
    ],
)
def test_placeholders_sequences_repetitions_and_words_are_not_generated(text: bytes) -> None:
    """Random characters are."""
    assert not looks_generated(text)
    assert looks_generated(RANDOM)


def test_a_token_in_base62_has_both_cases() -> None:
    """Text in only lower or only upper case does not look random."""
    assert looks_mixed(RANDOM)
    assert not looks_mixed(RANDOM.lower())
    assert not looks_mixed(RANDOM.upper())


@pytest.mark.parametrize(
    ("text", "identifier"),
    [(b"interrupt_thread_switch_handler", True), (b"Interrupt_thread_switch_handler", False), (RANDOM.lower(), False)],
)
def test_an_identifier_is_lower_case_words(text: bytes, identifier: bool) -> None:  # noqa: FBT001 - a table
    assert reads_like_an_identifier(text) == identifier


def test_one_changed_character_breaks_a_checksum() -> None:
    """The checksum is that of a token which GitHub's article computes by the same rule."""
    token = b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + b"0mLq17"
    assert has_checksum(token)
    assert not has_checksum(b"y" + token[1:])


def jwt(header: object, claims: object, signature: int = 43) -> bytes:
    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    return b".".join((part(header), part(claims), (RANDOM * 12)[:20] + (RANDOM[::-1] * 12)[: signature - 20]))


@pytest.mark.parametrize(
    ("rule", "header", "claims", "live"),
    [
        ("named and not expired", {"alg": "HS256"}, {"sub": "7", "exp": time.time() + 3600}, True),
        ("named, without an end", {"alg": "HS256"}, {"iss": "https://id.invalid"}, True),
        ("expired", {"alg": "HS256"}, {"sub": "7", "exp": 1_500_000_000}, False),
        ("of nobody", {"alg": "HS256"}, {"exp": time.time() + 3600}, False),
        ("an example", {"alg": "HS256"}, {"sub": "1234567890", "exp": time.time() + 3600}, False),
        ("a signature of another length", {"alg": "RS256"}, {"sub": "7"}, False),
        ("no algorithm", {}, {"sub": "7"}, False),
        ("an algorithm that is not a word", {"alg": [1]}, {"sub": "7"}, False),
    ],
)
def test_a_live_jwt_names_someone_and_has_not_expired(rule: str, header: object, claims: object, live: bool) -> None:  # noqa: FBT001
    token = jwt(header, claims)
    assert is_jwt(token)
    assert is_live_jwt(token) == live, rule


@pytest.mark.parametrize("damage", [lambda token: token.replace(b".", b"", 1), lambda token: b"e30x" + token])
def test_a_jwt_has_two_json_objects(damage: Callable[[bytes], bytes]) -> None:
    assert not is_jwt(damage(jwt({"alg": "HS256"}, {"sub": "7"})))


def test_a_private_key_is_one_complete_structure() -> None:
    """With line breaks, or in a string literal; not cut off, and not a placeholder."""
    key = base64.b64encode(b"\x30\x82\x00\x60" + bytes(range(96)))
    lines = b"\n".join(key[at : at + 64] for at in range(0, len(key), 64))
    assert is_private_key(lines)
    assert is_private_key(lines.replace(b"\n", b"\\n"))
    assert not is_private_key(lines[:-8])
    assert not is_private_key(b"...")
