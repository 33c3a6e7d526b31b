"""Tokens of well-known issuers are recognized by their shape."""

from random import Random

import pytest

from moonmind_appliance.redaction import Redactor
from tests.known_tokens import FORMS

SECRET = "Tk9-very.secret/value+of=an:account"


GITHUB = "ghp_" + "a1B2" * 9


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
def test_well_known_shapes_are_redacted_without_knowing_them(text, kind):
    """By their shape only, even if `secret_rules` rejects the value as a placeholder: redaction is broad."""
    line = f"x {text} y".encode()
    redactor = Redactor()
    assert redactor.redact(line) == f"x [redacted:{kind}] y".encode()
    assert redactor.find(line) == []


@pytest.mark.parametrize("form", FORMS)
def test_what_is_refused_is_redacted(form):
    """Each known form, as a whole, with the kind that a refusal names."""
    kind, generate = FORMS[form]
    token = generate(Random(form))  # noqa: S311
    assert Redactor().redact_text(f"x {token} y") == f"x [redacted:{kind}] y"


@pytest.mark.parametrize(
    "text",
    [
        "specs/001-sk-bratislava-hotels-near-the-old-town-and-castle/spec.md",
        "drivers/rt_hw_interrupt_thread_switch.c",
        "mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16",
        "github_pat_disposable_source_read_token",
    ],
)
def test_identifiers_are_not_redacted(text):
    """A run stores paths and headings and uses them later: redaction must not damage them."""
    assert Redactor().redact_text(text) == text


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
    """A header or a password in an address is redacted in logs; documentation may contain examples."""
    redactor = Redactor()
    assert redactor.redact(text) == expected
    assert redactor.find(text) == []


def test_plain_text_is_unchanged():
    """Byte for byte, for any bytes without a secret."""
    data = bytes(range(256)) * 3 + "ghp_short sk-short eyJ.eyJ.x ü".encode()
    assert Redactor({"canary": SECRET}).redact(data) == data
