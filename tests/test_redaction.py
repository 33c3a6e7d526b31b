"""Secrets are taken out of every byte that is kept."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.redaction import Redactor, encodings

SECRET = "Tk9-very.secret/value+of=an:account"
GITHUB = "ghp_" + "a1B2" * 9


class Kept:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps({"a": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x-access-token:" + SECRET.encode()).decode(),
        base64.b64encode(b"u:" + SECRET.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"12" + SECRET.encode()).decode(),
        SECRET.encode().hex(),
        "Tk9-very.secret%2Fvalue%2Bof%3Dan%3Aaccount",
    ],
)
def test_a_known_value_is_found_in_its_common_encodings(text):
    """By value: as is, JSON, percent, hexadecimal, base64 at each alignment."""
    redactor = Redactor({"canary": SECRET})
    kept = redactor.redact(text.encode())
    assert b"[redacted:canary]" in kept
    assert not any(form in kept for form in encodings(SECRET))


def test_wrapped_base64_is_found():
    """`base64` breaks its lines at 76 characters; a JSON log line shows the break as backslash and n."""
    value = "".join(chr(33 + i % 90) for i in range(150))
    wrapped = base64.encodebytes(value.encode())
    redactor = Redactor({"canary": value})
    assert b"[redacted:canary]" in redactor.redact(wrapped)
    assert b"[redacted:canary]" in redactor.redact(json.dumps(wrapped.decode()).encode())


@pytest.mark.parametrize("value", ["1", "true", "changeme", "aaaaaaaaaaaa", "short"])
def test_short_and_trivial_values_are_left_alone(value):
    """A secret-named setting of "1" must not eat every digit."""
    text = f"value {value} stays 1 true".encode()
    assert Redactor({"x": value}).redact(text) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (GITHUB, "GitHub token"),
        ("github_pat_" + "A1b2C3d4" * 6, "GitHub fine-grained token"),
        ("sk-proj-" + "A1b2C3d4" * 6, "OpenAI API key"),
        ("rt_" + "A1b2C3d4" * 6, "OpenAI refresh token"),
        ("AKIA" + "ABCDEFGH23456723", "AWS access key"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl", "JSON web token"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIE" * 20 + "\n-----END RSA PRIVATE KEY-----",
            "private key",
        ),
    ],
)
def test_well_known_shapes_are_found_without_knowing_them(text, kind):
    """By shape: what tokens of well-known issuers look like; these also stop a push."""
    line = f"x {text} y".encode()
    redactor = Redactor()
    assert redactor.redact(line) == f"x [redacted:{kind}] y".encode()
    assert [(f.kind, f.offset) for f in redactor.find(line)] == [(kind, 2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"refresh_token": "abcdefghijkl"}', b'{"refresh_token": "[redacted:token in JSON]"}'),
        (b'"{\\"id_token\\":\\"abcdefghijkl\\"}"', b'"{\\"id_token\\":\\"[redacted:token in JSON]\\"}"'),
        (b"Authorization: Bearer abcdefghijkl", b"Authorization: Bearer [redacted:authorization header]"),
        (b"https://me:hunter22@host/x", b"https://[redacted:password in an address]@host/x"),
    ],
)
def test_uncertain_shapes_are_redacted_but_stop_no_push(text, expected):
    """A header or a password in an address is taken out of logs; documentation may still show one."""
    redactor = Redactor()
    assert redactor.redact(text) == expected
    assert redactor.find(text) == []


def test_plain_text_is_untouched():
    """What holds no secret comes out byte for byte, whatever bytes it holds."""
    data = bytes(range(256)) * 3 + "ghp_short sk-short eyJ.eyJ.x ü".encode()
    assert Redactor({"canary": SECRET}).redact(data) == data


@given(cuts=st.lists(st.integers(0, 400), max_size=12), newline=st.booleans())
def test_a_secret_cut_by_chunks_is_still_found(cuts, newline):
    """Whatever the edges of the chunks, the stream's output equals that of the whole."""
    redactor = Redactor({"canary": SECRET})
    whole = ("a " * 40 + SECRET + ("\n" if newline else " ") + GITHUB + "\ntail " + SECRET).encode()
    kept = Kept()
    stream = redactor.stream(kept)
    edges = sorted({0, len(whole), *(c for c in cuts if c < len(whole))})
    for start, end in itertools.pairwise(edges):
        stream.write(whole[start:end])
    stream.flush()
    assert kept.data == redactor.redact(whole)
    assert SECRET.encode() not in kept.data
    assert GITHUB.encode() not in kept.data


def test_an_endless_line_is_passed_on_without_losing_a_secret():
    """A line of megabytes does not pile up in memory, and a secret at any place of it is found."""
    redactor = Redactor({"canary": SECRET})
    kept = Kept()
    stream = redactor.stream(kept)
    for _ in range(40):
        stream.write(b"x" * 50_000 + b" " + SECRET.encode())
    assert len(kept.data) > 1_000_000
    stream.flush()
    assert SECRET.encode() not in kept.data
    assert kept.data.count(b"[redacted:canary]") == 40
