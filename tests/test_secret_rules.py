"""A change or a text is refused only for real tokens; identifiers, placeholders and examples pass."""

import base64
import hashlib
import time
from random import Random

import pytest

from moonmind_appliance.secret_rules import KINDS, find_tokens, is_certain_token
from tests.known_tokens import FORMS, REAL, checksum, jwt, private_key

PER_FORM = 40
RANDOM = Random(7)  # noqa: S311 - the same tokens in every test run


@pytest.mark.parametrize("form", FORMS)
def test_every_known_form_is_found(form: str) -> None:
    """Random tokens of the form, whole and by their kind, wherever they are written."""
    kind, generate = FORMS[form]
    random = Random(form)  # noqa: S311
    found = 0
    for number in range(PER_FORM):
        token = generate(random)
        before, after = [("KEY=", "\n"), ('  "key": "', '",'), ("use `", "`."), ("Bearer ", ""), ("\t(", ")")][
            number % 5
        ]
        text = f"{before}{token}{after}".encode()
        found += [(kind, len(before), len(before) + len(token))] == [
            (span.kind, span.start, span.end) for span in find_tokens(text) if span.kind == kind
        ]
    # A random token looks like words or a sequence in fewer than one of 500 cases.
    assert found >= PER_FORM - 1


def test_every_kind_has_a_form() -> None:
    """No rule is without a test."""
    assert {kind for kind, _ in FORMS.values()} == set(KINDS)


def pem(label: str, body: str) -> str:
    """A private key's marks, and any text between them."""
    return f"-----BEGIN {label}PRIVATE KEY-----\n{body}\n-----END {label}PRIVATE KEY-----"


PASSES = {
    # Identifiers of kernels and drivers.
    "RTOS function": "rt_hw_interrupt_thread_switch",
    "RTOS method": "rt_module.get_device_workspace_size",
    "RTOS camel case": "rt_HwInterruptThreadSwitchHandlerForCortexM7Cores",
    "RTOS macro": "rt_ASSERT_AND_RETURN_IF_THE_THREAD_IS_SUSPENDED_NOW",
    "CUDA intrinsic": "mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16",
    "CUDA docs": "mma_3c_20gemm_3a_3agemmshape_3c_208_2c_208_2c_204_20",
    "CUDA header": "mma__tensor__op__tile__iterator__sm70_8h_source",
    # Slugs and names.
    "slug": "sk-bratislava-hotels-near-the-old-town-and-castle",
    "slug in a path": "specs/001-sk-slovak-translation-of-the-whole-administration/spec.md",
    "CSS class": "sk-folding-cube-loading-animation-with-twelve-dots-inside",
    "GitLab placeholder": "glpat-token_for_different_git_platform",
    "fine-grained placeholder": "github_pat_disposable_source_read_token",
    "npm config name": "npm_config_registry_fetch_retry_mintimeout_x",
    # Placeholders.
    "GitHub x": "ghp_" + "x" * 36,
    "GitHub sequence": "ghp_1234567890abcdefghijklmnopqrstuvwxyz",
    "fine-grained x": "github_pat_" + "x" * 22 + "_" + "x" * 59,
    "fine-grained alphabet": "github_pat_ABCDEFGHIJKLMNOPQRSTUV_1234567890" + "abcdefg" * 7,
    "OpenAI x": "sk-proj-" + "xX9" * 40,
    "OpenAI words": "sk-YourOpenAIKeyGoesHereAndItIsAboutThisLongInTheEnd",
    "OpenAI sequence": "sk-1234567890abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN",
    "Anthropic words": "sk-ant-api03-" + "put_Your_Own_Key_Of_The_Console_In_This_Place_" * 2,
    "AWS example": "AKIAIOSFODNN7EXAMPLE",
    "AWS temporary example": "ASIAIOSFODNN7EXAMPLE",
    "AWS digits": "AKIA2345672345672345",
    "AWS repeated": "AKIAAAAAAAAAAAAAAAAA",
    "AWS in a word": "XAKIAQ7Z3VNBKD5RPM2TE",
    "Slack example": "xoxb-123456789012-123456789012-" + "abcdefghijklmnopqrstuvwx",
    "Slack numbers": "xoxb-1234567890-1234567890123-" + "5n38u5ed63fgzqlvuyxvxcx6",
    "Slack x": "xoxb-XXXXXXXXXXXX-XXXXXXXXXXXX-XXXXXXXXXXXXXXXXXXXXXXXX",
    "npm x": "npm_" + "X" * 36,
    "Stripe test key": "sk_test_" + "4fC39HqLyjWDarjtT1zdp7dc",
    "AWS stream key": "rt_123456789012_us-west-2_AbCdEfGh1234_abcd1234efgh5678ijkl9012MNOP34",
    # Checksums, ids, lock files.
    "commit id": "3f786850e387550fdab836ed7e6dc881de23001b",
    "SHA-256": hashlib.sha256(b"x").hexdigest(),
    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
    "go.sum": "h1:" + base64.b64encode(hashlib.sha256(b"y").digest()).decode(),
    "UUID": "6f1c2d3e-1b7a-4c1d-9d3e-2f1a0b9c8d7e",
    "lock entry": '"resolved": "https://host.invalid/a/-/a-1.0.0.tgz#' + hashlib.sha1(b"z").hexdigest() + '"',  # noqa: S324
    "public key": "-----BEGIN PUBLIC KEY-----\n"
    + base64.b64encode(RANDOM.randbytes(90)).decode()
    + "\n-----END PUBLIC KEY-----",
    "ssh public key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + base64.b64encode(RANDOM.randbytes(30)).decode(),
    # Keys and tokens that cannot be used.
    "key left out": pem("RSA ", "key omitted for security reasons, see the manual"),
    "key x": pem("", "XXXX" * 20),
    "key cut": private_key(RANDOM)[:200] + "\n-----END RSA PRIVATE KEY-----",
    "key begins only": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA…",
    "key in a script": pem("OPENSSH ", "${base64Content} and more of it in a variable"),
    "JWT of jwt.io": jwt(RANDOM, {"sub": "1234567890", "name": "John Doe"}, algorithm="HS256", signature=32),
    "JWT of RFC 7519": jwt(RANDOM, {"iss": "joe", "exp": 1300819380}, algorithm="HS256", signature=32),
    "JWT expired": jwt(RANDOM, {"sub": "kR4tW9", "exp": int(time.time()) - 60}),
    "JWT of nobody": jwt(RANDOM, {"exp": 4687177990}),
    "JWT of a library's test": jwt(RANDOM, {"some": "payload"}, algorithm="HS256", signature=32),
    "JWT unsigned": jwt(RANDOM, {"sub": "kR4tW9"}, algorithm="none", signature=0),
    "JWT cut": jwt(RANDOM)[:-20],
    "JWT with dots": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrUjR0VzkifQ.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
}


@pytest.mark.parametrize("name", PASSES)
def test_texts_that_are_not_secrets_pass(name: str) -> None:
    """Alone, in code, in Markdown and as a value."""
    for before, after in [("", ""), ("call(", ");"), ("see `", "`."), ('"key": "', '",\n'), ("# ", " #")]:
        assert list(find_tokens(f"{before}{PASSES[name]}{after}".encode())) == []


def test_a_token_within_a_longer_word_does_not_count() -> None:
    """Its form is exact."""
    assert list(find_tokens(f"{REAL}x x{REAL} {REAL}_".encode())) == []
    assert len(list(find_tokens(f"{REAL}. {REAL}/x".encode()))) == 2


def test_a_token_after_an_escape_is_found() -> None:
    """A line break in a string literal, or a character in a URL, is part of no word."""
    for before in ("\\n", "\\r", "\\t", "token%3D", "%0a"):
        assert list(find_tokens(f'"a{before}{REAL}"'.encode()))


def test_a_comment_allows_nothing() -> None:
    """The agent writes the change, so the marks of other scanners have no effect."""
    for comment in ("gitleaks:allow", "pragma: allowlist secret", "nosec", "kingfisher:ignore", "trufflehog:ignore"):
        assert list(find_tokens(f"key = '{REAL}'  # {comment}".encode()))


def test_the_whole_value_must_be_the_token() -> None:
    """For values of a login file."""
    assert is_certain_token(REAL)
    assert not is_certain_token(f"{REAL} ")
    assert not is_certain_token("rt_hw_interrupt_thread_switch")


@pytest.mark.parametrize("token", [REAL[:-1] + ("a" if REAL[-1] != "a" else "b"), "npm_" + REAL[4:-1] + "Z"])
def test_a_random_token_without_its_checksum_is_found(token: str) -> None:
    """One of its characters may have been changed, and the rest still identifies it."""
    assert [span.end - span.start for span in find_tokens(token.encode())] == [len(token)]


def test_the_checksum_is_githubs() -> None:
    """Of tokens that GitHub published as examples of the format, and that were never valid for long."""
    assert checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ") == "0mLq17"
