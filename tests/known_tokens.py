"""Random tokens with the structure of each issuer's real ones; none was ever issued."""

import base64
import json
import string
import textwrap
import time
import zlib
from collections.abc import Callable
from random import Random

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE64URL = _BASE62 + "-_"
_BASE32 = string.ascii_uppercase + "234567"
_HEX = "0123456789abcdef"
_HOUR = 3600


def checksum(body: str) -> str:
    """The six characters with which GitHub's and npm's tokens end."""
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0")


def github_token(body: str, prefix: str = "ghp_") -> str:
    """A token with that body of 30 characters, and its checksum."""
    assert len(body) == 30
    return prefix + body + checksum(body)


REAL = github_token("Zk3vQ8sLw0Xb7TnEr5YpUc2HdGa9Mj")
"""A GitHub token by structure and checksum."""


def jwt(
    random: Random, claims: dict[str, object] | None = None, *, algorithm: str = "RS256", signature: int = 256
) -> str:
    """A signed token; by default it expires in an hour."""
    claims = claims or {"sub": text(random, 12), "exp": int(time.time()) + _HOUR}
    head = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    parts = (head, json.dumps(claims).encode(), random.randbytes(signature))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def private_key(random: Random, label: str = "RSA ", size: int = 1190) -> str:
    """One DER sequence of random bytes, in PEM."""
    der = b"\x30\x82" + size.to_bytes(2, "big") + random.randbytes(size)
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join([f"-----BEGIN {label}PRIVATE KEY-----", *lines, f"-----END {label}PRIVATE KEY-----"])


def openssh_key(random: Random) -> str:
    """A key as ssh-keygen writes it."""
    lines = textwrap.wrap(base64.b64encode(b"openssh-key-v1\0" + random.randbytes(380)).decode(), 70)
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----"])


def pgp_key(random: Random) -> str:
    """A key as gpg exports it."""
    lines = textwrap.wrap(base64.b64encode(b"\x95\x03\xbe\x04" + random.randbytes(960)).decode(), 64)
    begin, end = "-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"
    return "\n".join([begin, "Version: GnuPG v2", "", *lines, "=aB3d", end])


def text(random: Random, size: int, letters: str = _BASE62) -> str:
    """Random letters."""
    return "".join(random.choices(letters, k=size))


def _of(prefix: str, *sizes: tuple[int, str]) -> Callable[[Random], str]:
    return lambda random: prefix + "".join(text(random, size, letters) for size, letters in sizes)


def _checked(prefix: str) -> Callable[[Random], str]:
    return lambda random: github_token(text(random, 30), prefix)


def _openai(prefix: str, size: int, letters: str = _BASE64URL) -> Callable[[Random], str]:
    return lambda random: f"{prefix}{text(random, size, letters)}T3BlbkFJ{text(random, size, letters)}"


def _slack(prefix: str, numbers: int, size: int, letters: str) -> Callable[[Random], str]:
    return lambda random: "-".join(
        [prefix, *(text(random, 12, "123456789") for _ in range(numbers)), text(random, size, letters)]
    )


FORMS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "GitHub classic": ("GitHub token", _checked("ghp_")),
    "GitHub OAuth": ("GitHub token", _checked("gho_")),
    "GitHub user": ("GitHub token", _checked("ghu_")),
    "GitHub installation": ("GitHub token", _checked("ghs_")),
    "GitHub refresh": ("GitHub token", _checked("ghr_")),
    "GitHub stateless": ("GitHub token", lambda random: f"ghs_{text(random, 7, '123456789')}_{jwt(random)}"),
    "GitHub fine-grained": (
        "GitHub fine-grained token",
        lambda random: f"github_pat_{text(random, 22)}_{text(random, 59)}",
    ),
    "npm": ("npm token", _checked("npm_")),
    "OpenAI project": ("OpenAI API key", _openai("sk-proj-", 74)),
    "OpenAI service account": ("OpenAI API key", _openai("sk-svcacct-", 58)),
    "OpenAI older": ("OpenAI API key", _openai("sk-", 20, _BASE62)),
    "OpenAI refresh": ("OpenAI refresh token", _of("rt_", (64, _BASE64URL))),
    "OpenAI refresh with a dot": (
        "OpenAI refresh token",
        lambda random: f"rt_{text(random, 43, _BASE64URL)}.{text(random, 43, _BASE64URL)}",
    ),
    "Anthropic": ("Anthropic API key", lambda random: f"sk-ant-api03-{text(random, 93, _BASE64URL)}AA"),
    "OpenRouter": ("OpenRouter API key", _of("sk-or-v1-", (64, _HEX))),
    "MoonMind": ("MoonMind token", _of("mma_", (43, _BASE64URL))),
    "GitLab personal": ("GitLab token", _of("glpat-", (20, _BASE64URL))),
    "GitLab routable": (
        "GitLab token",
        lambda random: f"glpat-{text(random, 27, _BASE64URL)}.01.{text(random, 9, _HEX)}",
    ),
    "GitLab runner": ("GitLab token", _of("glrt-", (20, _BASE64URL))),
    "Slack bot": ("Slack token", _slack("xoxb", 2, 24, _BASE62)),
    "Slack user": ("Slack token", _slack("xoxp", 3, 32, _HEX)),
    "Slack app": (
        "Slack token",
        lambda random: f"xapp-1-A{text(random, 10, _BASE32)}-7481902746103-{text(random, 64, _HEX)}",
    ),
    "AWS": ("AWS access key", _of("AKIA", (16, _BASE32))),
    "AWS temporary": ("AWS access key", _of("ASIA", (16, _BASE32))),
    "Google API": ("Google API key", _of("AIzaSy", (33, _BASE64URL))),
    "Google OAuth": ("Google OAuth secret", _of("GOCSPX-", (28, _BASE64URL))),
    "Stripe": ("Stripe key", _of("sk_live_", (99, _BASE62))),
    "Hugging Face": ("Hugging Face token", _of("hf_", (34, string.ascii_letters))),
    "PyPI": ("PyPI token", _of("pypi-AgEIcHlwaS5vcmc", (155, _BASE64URL))),
    "SendGrid": (
        "SendGrid key",
        lambda random: f"SG.{text(random, 22, _BASE64URL)}.{text(random, 43, _BASE64URL)}",
    ),
    "DigitalOcean": ("DigitalOcean token", _of("dop_v1_", (64, _HEX))),
    "Shopify": ("Shopify token", _of("shpat_", (32, _HEX))),
    "Databricks": ("Databricks token", _of("dapi", (32, _HEX))),
    "Vault": ("Vault token", _of("hvs.", (95, _BASE64URL))),
    "Grafana": ("Grafana token", lambda random: f"glsa_{text(random, 32)}_{text(random, 8, _HEX)}"),
    "Docker": ("Docker token", _of("dckr_pat_", (27, _BASE64URL))),
    "Linear": ("Linear key", _of("lin_api_", (40, _BASE62))),
    "Notion": ("Notion token", _of("ntn_", (11, "0123456789"), (35, _BASE62))),
    "Postman": ("Postman key", lambda random: f"PMAK-{text(random, 24, _HEX)}-{text(random, 34, _HEX)}"),
    "RubyGems": ("RubyGems key", _of("rubygems_", (48, _HEX))),
    "Sentry": ("Sentry token", _of("sntryu_", (64, _HEX))),
    "Pulumi": ("Pulumi token", _of("pul-", (40, _HEX))),
    "Groq": ("Groq key", _of("gsk_", (52, _BASE62))),
    "xAI": ("xAI key", _of("xai-", (80, _BASE62))),
    "Perplexity": ("Perplexity key", _of("pplx-", (48, _BASE62))),
    "Atlassian": ("Atlassian token", _of("ATATT3", (186, _BASE64URL))),
    "age": ("age key", _of("AGE-SECRET-KEY-1", (58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"))),
    "JWT RS256": ("JSON web token", jwt),
    "JWT HS256": ("JSON web token", lambda random: jwt(random, algorithm="HS256", signature=32)),
    "JWT ES256": ("JSON web token", lambda random: jwt(random, algorithm="ES256", signature=64)),
    "JWT without expiry": ("JSON web token", lambda random: jwt(random, {"iss": "kubernetes/serviceaccount"})),
    "RSA key": ("private key", private_key),
    "PKCS 8 key": ("private key", lambda random: private_key(random, "", 1213)),
    "EC key": ("private key", lambda random: private_key(random, "EC ", 300)),
    "key in JSON": ("private key", lambda random: private_key(random).replace("\n", "\\n")),
    "key in Java": ("private key", lambda random: private_key(random).replace("\n", '\\n"\n\t\t+ "')),
    "OpenSSH key": ("private key", openssh_key),
    "OpenPGP key": ("private key", pgp_key),
}
"""Each known form: the kind that a refusal names, and a generator."""
