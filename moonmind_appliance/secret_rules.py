"""The rules by which a change or a text is refused because of a token.

Redaction is broad: a false positive in a log costs little. A refusal costs a run, so it must be precise: each rule
is the exact form of an issuer's token, and the filters reject identifiers, slugs, placeholders and examples.
docs/decisions/37-refusing-is-precise.md compares these rules with other rule sets and gives their source.

Every search takes linear time: see `token_shapes`. Unbounded repetitions are possessive, so that a failed match does
not backtrack.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from moonmind_appliance.literal_search import LiteralSearch
from moonmind_appliance.secret_filters import (
    has_checksum,
    is_jwt,
    is_live_jwt,
    is_private_key,
    looks_generated,
    looks_mixed,
)
from moonmind_appliance.token_shapes import Anchored, Span, is_token, json_web_tokens


class Rule(NamedTuple):
    """The form of an issuer's token: a pattern for each anchor. `check` gets the pattern's last group, and decides."""

    kind: str
    patterns: Mapping[bytes, Anchored]
    check: Callable[[bytes], bool]


def find_tokens(data: bytes) -> Iterator[Span]:
    """Every certain token in the data. Matches of several rules may overlap."""
    for start, end in json_web_tokens(data):
        if is_live_jwt(data[start:end]):
            yield Span(start, end, JWT_KIND)
    yield from find_by_rules(data)


def find_by_rules(data: bytes, found: Sequence[Span] = ()) -> Iterator[Span]:
    """Every certain token in the data that is not a JSON web token, by rule.

    Those that lie within one of the spans in `found` and begin after it are left out. These are in order and do not
    overlap.
    """
    starts = [span.start for span in found]
    for index in sorted(_ANCHORS.present(data)):
        rule, pattern = _PATTERNS[index]
        for match in pattern.expression.finditer(data):
            before = bisect_left(starts, match.start()) - 1
            if before >= 0 and match.end() <= found[before].end:
                continue
            if rule.check(match[match.lastindex or 0]):
                yield Span(*match.span(), rule.kind)


def is_certain_token(value: str) -> bool:
    """Whether the whole value is one token. For a login file, where shorter tokens and any JSON web token are real."""
    data = value.encode(errors="replace")
    if is_jwt(data) or (is_token(value) and looks_mixed(data)):
        return True
    return any((span.start, span.end) == (0, len(data)) for span in find_tokens(data))


JWT_KIND = "JSON web token"
# A word begins, also after an escaped line break or tab in a string literal, or an escaped character in a URL.
_BEFORE = (rb"\b", rb"\\[nrt]", rb"%[0-9A-Fa-f]{2}")


def _rule(kind: str, anchors: str, pattern: bytes, check: Callable[[bytes], bool] = looks_mixed) -> Rule:
    """A rule for whole words that begin with one of the anchors, and continue with the pattern."""
    whole_word = pattern + rb"(?![A-Za-z0-9_-])"
    return Rule(kind, {anchor: Anchored(anchor, whole_word, _BEFORE) for anchor in anchors.encode().split()}, check)


def _looks_issued(text: bytes) -> bool:
    """Whether the text has its issuer's checksum, or looks random: a real token may have been altered."""
    return has_checksum(text) or looks_mixed(text)


RULES: tuple[Rule, ...] = (
    _rule("GitHub token", "gho_ ghp_ ghr_ ghs_ ghu_", rb"([A-Za-z0-9]{36})", _looks_issued),
    _rule(
        "GitHub token",
        "ghs_ ghu_",
        rb"[A-Za-z0-9]{1,32}_(eyJ[A-Za-z0-9_-]{8,512}+\.[A-Za-z0-9_-]{8,2048}+\.[A-Za-z0-9_-]{40,1024})",
        is_live_jwt,
    ),
    _rule("GitHub fine-grained token", "github_pat_", rb"([A-Za-z0-9]{22}_[A-Za-z0-9]{59})"),
    _rule("npm token", "npm_", rb"([A-Za-z0-9]{36})", _looks_issued),
    _rule("Anthropic API key", "sk-ant-", rb"[a-z]{3,5}[0-9]{2}-([A-Za-z0-9_-]{80,}+)"),
    _rule("OpenRouter API key", "sk-or-v1-", rb"([0-9a-f]{64})", looks_generated),
    _rule("OpenAI API key", "sk-", rb"(?:proj-|svcacct-|admin-|None-)?([A-Za-z0-9_-]{40,}+)"),
    _rule("OpenAI refresh token", "rt_", rb"([A-Za-z0-9_-]{40,}+(?:\.[A-Za-z0-9_-]{8,}+)?)"),
    _rule("MoonMind token", "mma_", rb"([A-Za-z0-9_-]{43})"),
    _rule(
        "GitLab token",
        "glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glagent- gloas- glimt- glffct-",
        rb"(?:t[0-9]_)?([A-Za-z0-9_-]{20,}+)(?:\.[0-9a-z]{2}\.?[0-9a-z]{7,9})?",
    ),
    _rule("Slack token", "xox", rb"[abeoprs]-((?:[0-9]{8,14}-){1,3}[A-Za-z0-9]{18,}+)", looks_generated),
    _rule("Slack token", "xapp-", rb"[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-([a-f0-9]{64})", looks_generated),
    _rule("Slack token", "xoxe", rb"(?:\.xox[bp])?-[0-9]-([A-Za-z0-9]{100,}+)", looks_generated),
    _rule("AWS access key", "AKIA ASIA ABIA ACCA", rb"([A-Z2-7]{16})", looks_generated),
    _rule("Google API key", "AIza", rb"([A-Za-z0-9_-]{35})"),
    _rule("Google OAuth secret", "GOCSPX-", rb"([A-Za-z0-9_-]{28})"),
    _rule("Stripe key", "rk_live_ sk_live_", rb"([A-Za-z0-9]{24,}+)"),
    _rule("Hugging Face token", "hf_", rb"([A-Za-z]{34})"),
    _rule("PyPI token", "pypi-AgEIcHlwaS5vcmc", rb"([A-Za-z0-9_-]{50,}+)"),
    _rule("SendGrid key", "SG.", rb"([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
    _rule("DigitalOcean token", "doo_v1_ dop_v1_ dor_v1_", rb"([a-f0-9]{64})", looks_generated),
    _rule("Shopify token", "shpat_ shpca_ shppa_ shpss_", rb"([a-fA-F0-9]{32})", looks_generated),
    _rule("Databricks token", "dapi", rb"([a-f0-9]{32})(?:-[0-9])?", looks_generated),
    _rule("Vault token", "hvb. hvs.", rb"([A-Za-z0-9_-]{90,}+)"),
    _rule("Grafana token", "glsa_", rb"([A-Za-z0-9]{32}_[a-fA-F0-9]{8})"),
    _rule("Docker token", "dckr_oat_ dckr_pat_", rb"([A-Za-z0-9_-]{27,}+)"),
    _rule("Linear key", "lin_api_", rb"([A-Za-z0-9]{40})"),
    _rule("Notion token", "ntn_", rb"([0-9]{11}[A-Za-z0-9]{35})"),
    _rule("Postman key", "PMAK-", rb"([a-f0-9]{24}-[a-f0-9]{34})", looks_generated),
    _rule("RubyGems key", "rubygems_", rb"([a-f0-9]{48})", looks_generated),
    _rule("Sentry token", "sntryu_", rb"([a-f0-9]{64})", looks_generated),
    _rule("Pulumi token", "pul-", rb"([a-f0-9]{40})", looks_generated),
    _rule("Groq key", "gsk_", rb"([A-Za-z0-9]{52})"),
    _rule("xAI key", "xai-", rb"([A-Za-z0-9]{80})"),
    _rule("Perplexity key", "pplx-", rb"([A-Za-z0-9]{48})"),
    _rule("Atlassian token", "ATATT3", rb"([A-Za-z0-9_=-]{180,}+)"),
    _rule("age key", "AGE-SECRET-KEY-1", rb"([QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})", looks_generated),
    Rule(
        "private key",
        {
            b"-----BEGIN ": Anchored(
                b"-----BEGIN ",
                # No NUL: `scan_change` separates blocks of lines with it.
                rb"[A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----([^\0-]{40,16384})"
                rb"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
            )
        },
        is_private_key,
    ),
)

_PATTERNS = tuple((rule, pattern) for rule in RULES for pattern in rule.patterns.values())
_ANCHORS = LiteralSearch([anchor for rule in RULES for anchor in rule.patterns])

KINDS = sorted({JWT_KIND, *(rule.kind for rule in RULES)})
"""What the rules find, for the credential audit."""
