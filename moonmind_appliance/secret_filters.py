"""Decides whether a text in the form of a token is a token, or a placeholder, an identifier or an example.

Each filter takes linear time. A random token of its issuer's length passes in more than 999 of 1000 cases;
`tests/bench/secret_rules.py` measures this.
"""

import base64
import binascii
import re
import time
import zlib
from collections import Counter
from functools import lru_cache
from math import log2

import msgspec

from moonmind_appliance.untrusted_json import decode

_PLACEHOLDER = re.compile(
    rb"example|sample|dummy|placeholder|redacted|change_?me|your_?token|secret|(.)\1{4}", re.IGNORECASE | re.DOTALL
)
_SEQUENCE = 6
_SEQUENCES = tuple(
    series[at : at + _SEQUENCE]
    for ascending in (b"0123456789", b"abcdefghijklmnopqrstuvwxyz")
    for series in (ascending, ascending[::-1])
    for at in range(len(series) - _SEQUENCE + 1)
)
_LONGEST_UNIT = 16
# Logs repeat the same words.
_KEPT = 512
# With `ll`, the most frequent letter pairs of English: 8 % of the pairs in random letters, 40 to 70 % in words.
_WORD_PAIRS = tuple(
    b"th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro "
    b"ic ne ea ra ce li ch be ma si om ur".split()
)
_RUNS_OF_L = re.compile(rb"ll+")
_LETTERS = re.compile(rb"[a-z]+")
_FEWEST_WORD_PAIRS = 6
_WORD_SHARE = 0.33
# Bits for each byte.
_LEAST_ENTROPY = 2.7
_LEAST_ENTROPY_OF_BASE64 = 3.6
_SHORT = 32
# No issuer's token is longer, except JSON web tokens.
_LONGEST = 512

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM = 6

# In base64url, without padding.
_SIGNATURE_LENGTHS = {
    "HS256": (43, 43),
    "HS384": (64, 64),
    "HS512": (86, 86),
    "ES256": (86, 86),
    "ES384": (128, 128),
    "ES512": (176, 176),
    "EdDSA": (86, 152),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), (342, 1366)),
}
_EXAMPLE_CLAIMS = re.compile(rb"example|1234567890|john ?doe|jane ?doe|mock|dummy|\btest|\"joe\"", re.IGNORECASE)

_ANONYMOUS_CLAIMS = frozenset({"exp", "iat", "nbf", "scope", "scp"})

_DER_SEQUENCE, _DER_LONG_FORM = 0x30, 0x80
_SHORTEST_DER_KEY = 40
# The first byte of an OpenPGP packet with a secret key: RFC 9580, sections 4.2 and 4.3.
_PGP_SECRET_KEY = frozenset({0x94, 0x95, 0x96, 0x97, 0xC5})


@lru_cache(_KEPT)
def looks_generated(text: bytes) -> bool:
    """Whether the text looks random: no placeholder, no sequence, no repetition, no words, enough entropy."""
    return len(text) <= _LONGEST and not (
        _PLACEHOLDER.search(text)
        or _has_sequence(text)
        or _repeats(text)
        or _reads_like_words(text)
        or _entropy(text) < _LEAST_ENTROPY
    )


def looks_mixed(text: bytes) -> bool:
    """Whether the text looks random and has lower and upper case, as every long token in base62 or base64 has."""
    return (
        text != text.lower()
        and text != text.upper()
        and looks_generated(text)
        and (len(text) < _SHORT or _entropy(text) >= _LEAST_ENTROPY_OF_BASE64)
    )


@lru_cache(_KEPT)
def reads_like_an_identifier(text: bytes) -> bool:
    """Whether the text is lower-case words, such as `rt_hw_interrupt_thread_switch` or a slug."""
    return text == text.lower() and _reads_like_words(text)


def has_checksum(text: bytes) -> bool:
    """Whether the last six characters are the CRC32 of the others in base62, as in GitHub's and npm's tokens.

    Source: GitHub's articles "Behind GitHub's new authentication token formats" and "Announcing npm's new access token
    format".
    """
    number, digits = zlib.crc32(text[:-_CHECKSUM]), bytearray()
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return bytes(reversed(digits)) == text[-_CHECKSUM:]


def is_private_key(armored: bytes) -> bool:
    """Whether the text between the BEGIN and END lines is one complete DER structure, or an OpenSSH or OpenPGP key."""
    # In a string literal, line breaks are escaped, and lines may be joined by plus signs.
    text = re.sub(rb"\\{1,4}[nrt]", b"\n", armored)
    text = re.sub(rb"[\"']\s{0,40}\+\s{0,40}[\"']", b"\n", text)
    # OpenPGP's headers end with an empty line, and its checksum begins with an equals sign.
    body = re.split(rb"\n[ \t\r]*\n", text, maxsplit=1)[-1] if b": " in text else text
    body = re.sub(rb"[^A-Za-z0-9+/]", b"", body.rsplit(b"\n=", 1)[0])
    try:
        key = base64.b64decode(body + b"=" * (-len(body) % 4))
    except binascii.Error:
        return False
    return (
        key.startswith(b"openssh-key-v1\0")
        or _is_one_der_sequence(key)
        or (key[:1] != b"" and key[0] in _PGP_SECRET_KEY and looks_random_base64(body))
    )


def is_jwt(token: bytes) -> bool:
    """Whether header and claims are JSON objects; true also for expired tokens and examples."""
    parts = token.split(b".")
    return len(parts) == 3 and None not in (_json_object(parts[0]), _json_object(parts[1]))  # noqa: PLR2004


def is_live_jwt(token: bytes) -> bool:
    """Whether the signature has its algorithm's length, and the claims identify someone and have not expired.

    False for known examples. Reads the claims; does not verify the signature.
    """
    header, claims, signature = token.split(b".")
    head, body = _json_object(header), _json_object(claims)
    if head is None or body is None or _EXAMPLE_CLAIMS.search(msgspec.json.encode(body)):
        return False
    shortest, longest = _SIGNATURE_LENGTHS.get(str(head.get("alg")), (1, 0))
    if not shortest <= len(signature) <= longest or not looks_random_base64(signature):
        return False
    expires = body.get("exp")
    if expires is None:
        return "iss" in body or "sub" in body
    return isinstance(expires, int | float) and expires > time.time() and not body.keys() <= _ANONYMOUS_CLAIMS


def looks_random_base64(text: bytes) -> bool:
    """Whether a long text in base64 can be random bytes, unlike `xxxx…` and `abcdabcd…`."""
    return _entropy(text) >= _LEAST_ENTROPY_OF_BASE64 and not _repeats(text)


def _json_object(part: bytes) -> dict[str, object] | None:
    try:
        return decode(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)), dict[str, object])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None


def _is_one_der_sequence(data: bytes) -> bool:
    """Whether the data is one DER sequence, and nothing after it."""
    if len(data) < _SHORTEST_DER_KEY or data[0] != _DER_SEQUENCE:
        return False
    if data[1] < _DER_LONG_FORM:
        return data[1] + 2 == len(data)
    size = data[1] - _DER_LONG_FORM
    return int.from_bytes(data[2 : 2 + size], "big") + 2 + size == len(data)


def _entropy(text: bytes) -> float:
    """Shannon's entropy in bits for each byte."""
    size = len(text)
    return log2(size) - sum(count * log2(count) for count in Counter(text).values()) / size if size else 0.0


def _has_sequence(text: bytes) -> bool:
    """Whether six adjacent letters or digits ascend or descend by one, ignoring case, such as `123456` or `FEDCBA`."""
    lower = text.lower()
    return any(sequence in lower for sequence in _SEQUENCES)


def _repeats(text: bytes) -> bool:
    """Whether the text is one short unit, repeated."""
    return any(text[unit:] == text[:-unit] for unit in range(1, min(_LONGEST_UNIT, len(text) // 2) + 1))


def _reads_like_words(text: bytes) -> bool:
    lower = text.lower()
    words = _LETTERS.findall(lower)
    pairs = sum(map(len, words)) - len(words)
    # No pair but this overlaps itself.
    common = sum(map(lower.count, _WORD_PAIRS)) + sum(len(run) - 1 for run in _RUNS_OF_L.findall(lower))
    return common >= max(_FEWEST_WORD_PAIRS, _WORD_SHARE * pairs)
