"""The rules by which a change or a text is refused because of a token.

Redaction is broad: a false positive in a log costs little. A refusal costs a run, so it must be precise: each rule
is the exact form of an issuer's token, and the filters reject identifiers, slugs, placeholders and examples.
docs/decisions/37-refusing-is-precise.md compares these rules with other rule sets and gives their source.

Every search takes linear time: it finds a fixed prefix first, then matches one expression there, and continues after
the match. Unbounded repetitions are possessive, so that a failed match does not backtrack.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from moonmind_appliance.secret_filters import (
    has_checksum,
    is_jwt,
    is_live_jwt,
    is_private_key,
    looks_generated,
    looks_mixed,
)
from moonmind_appliance.token_shapes import WINDOW, Span, find_all, is_token, json_web_tokens


class Rule(NamedTuple):
    """The form of an issuer's token.

    `pattern` begins with one of the anchors. `check` gets its last group, and decides.
    """

    kind: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    check: Callable[[bytes], bool]


def find_tokens(data: bytes) -> Iterator[Span]:
    """Every certain token in the data, by rule. Matches of several rules may overlap."""
    for start, end in json_web_tokens(data):
        if is_live_jwt(data[start:end]):
            yield Span(start, end, JWT_KIND)
    for rule in RULES:
        for anchor in rule.anchors:
            if len(data) <= WINDOW and anchor not in data:
                continue
            end = 0
            for at in find_all(anchor, data):
                if at >= end and (match := rule.pattern.match(data, at)):
                    end = match.end()
                    if rule.check(match[match.lastindex or 0]):
                        yield Span(at, end, rule.kind)


def is_certain_token(value: str) -> bool:
    """Whether the whole value is one token. For a login file, where shorter tokens and any JSON web token are real."""
    data = value.encode(errors="replace")
    if is_jwt(data) or (is_token(value) and looks_mixed(data)):
        return True
    return any((span.start, span.end) == (0, len(data)) for span in find_tokens(data))


JWT_KIND = "JSON web token"
# A word begins, also after an escaped line break or tab in a string literal, or an escaped character in a URL.
_BEFORE = rb"(?:\b|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"


def _rule(kind: str, pattern: bytes, check: Callable[[bytes], bool] = looks_mixed, anchors: str = "") -> Rule:
    """A rule for whole words. Without anchors, the pattern's fixed prefix is the anchor."""
    prefix = re.match(rb"[A-Za-z0-9_-]+", pattern)
    begin = tuple(anchors.encode().split()) or ((prefix[0],) if prefix else ())
    return Rule(kind, begin, re.compile(_BEFORE + pattern + rb"(?![A-Za-z0-9_-])"), check)


def _looks_issued(text: bytes) -> bool:
    """Whether the text has its issuer's checksum, or looks random: a real token may have been altered."""
    return has_checksum(text) or looks_mixed(text)


RULES: tuple[Rule, ...] = (
    _rule("GitHub token", rb"gh[oprsu]_([A-Za-z0-9]{36})", _looks_issued, "gho_ ghp_ ghr_ ghs_ ghu_"),
    _rule(
        "GitHub token",
        rb"gh[su]_[A-Za-z0-9]{1,32}_(eyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{40,1024})",
        is_live_jwt,
        "ghs_ ghu_",
    ),
    _rule("GitHub fine-grained token", rb"github_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})"),
    _rule("npm token", rb"npm_([A-Za-z0-9]{36})", _looks_issued),
    _rule("Anthropic API key", rb"sk-ant-[a-z]{3,5}[0-9]{2}-([A-Za-z0-9_-]{80,}+)", anchors="sk-ant-"),
    _rule("OpenRouter API key", rb"sk-or-v1-([0-9a-f]{64})", looks_generated),
    _rule("OpenAI API key", rb"sk-(?:proj-|svcacct-|admin-|None-)?([A-Za-z0-9_-]{40,}+)"),
    _rule("OpenAI refresh token", rb"rt_([A-Za-z0-9_-]{40,}+(?:\.[A-Za-z0-9_-]{8,}+)?)"),
    _rule("MoonMind token", rb"mma_([A-Za-z0-9_-]{43})"),
    _rule(
        "GitLab token",
        rb"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|oas|imt|ffct)-(?:t[0-9]_)?([A-Za-z0-9_-]{20,}+)"
        rb"(?:\.[0-9a-z]{2}\.?[0-9a-z]{7,9})?",
        anchors="glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glagent- gloas- glimt- glffct-",
    ),
    _rule("Slack token", rb"xox[abeoprs]-((?:[0-9]{8,14}-){1,3}[A-Za-z0-9]{18,}+)", looks_generated, "xox"),
    _rule("Slack token", rb"xapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-([a-f0-9]{64})", looks_generated),
    _rule("Slack token", rb"xoxe(?:\.xox[bp])?-[0-9]-([A-Za-z0-9]{100,}+)", looks_generated),
    _rule("AWS access key", rb"(?:AKIA|ASIA|ABIA|ACCA)([A-Z2-7]{16})", looks_generated, "AKIA ASIA ABIA ACCA"),
    _rule("Google API key", rb"AIza([A-Za-z0-9_-]{35})"),
    _rule("Google OAuth secret", rb"GOCSPX-([A-Za-z0-9_-]{28})"),
    _rule("Stripe key", rb"[rs]k_live_([A-Za-z0-9]{24,}+)", anchors="rk_live_ sk_live_"),
    _rule("Hugging Face token", rb"hf_([A-Za-z]{34})"),
    _rule("PyPI token", rb"pypi-AgEIcHlwaS5vcmc([A-Za-z0-9_-]{50,}+)"),
    _rule("SendGrid key", rb"SG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})", anchors="SG."),
    _rule("DigitalOcean token", rb"do[opr]_v1_([a-f0-9]{64})", looks_generated, "doo_v1_ dop_v1_ dor_v1_"),
    _rule("Shopify token", rb"shp(?:at|ca|pa|ss)_([a-fA-F0-9]{32})", looks_generated, "shpat_ shpca_ shppa_ shpss_"),
    _rule("Databricks token", rb"dapi([a-f0-9]{32})(?:-[0-9])?", looks_generated, "dapi"),
    _rule("Vault token", rb"hv[bs]\.([A-Za-z0-9_-]{90,}+)", anchors="hvb. hvs."),
    _rule("Grafana token", rb"glsa_([A-Za-z0-9]{32}_[a-fA-F0-9]{8})"),
    _rule("Docker token", rb"dckr_[op]at_([A-Za-z0-9_-]{27,}+)", anchors="dckr_oat_ dckr_pat_"),
    _rule("Linear key", rb"lin_api_([A-Za-z0-9]{40})"),
    _rule("Notion token", rb"ntn_([0-9]{11}[A-Za-z0-9]{35})"),
    _rule("Postman key", rb"PMAK-([a-f0-9]{24}-[a-f0-9]{34})", looks_generated),
    _rule("RubyGems key", rb"rubygems_([a-f0-9]{48})", looks_generated),
    _rule("Sentry token", rb"sntryu_([a-f0-9]{64})", looks_generated),
    _rule("Pulumi token", rb"pul-([a-f0-9]{40})", looks_generated),
    _rule("Groq key", rb"gsk_([A-Za-z0-9]{52})"),
    _rule("xAI key", rb"xai-([A-Za-z0-9]{80})"),
    _rule("Perplexity key", rb"pplx-([A-Za-z0-9]{48})"),
    _rule("Atlassian token", rb"ATATT3([A-Za-z0-9_=-]{180,}+)"),
    _rule("age key", rb"AGE-SECRET-KEY-1([QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})", looks_generated),
    Rule(
        "private key",
        (b"-----BEGIN ",),
        # No NUL: `scan_change` separates blocks of lines with it.
        re.compile(
            rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----([^\0-]{40,16384})"
            rb"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        ),
        is_private_key,
    ),
)

KINDS = sorted({JWT_KIND, *(rule.kind for rule in RULES)})
"""What the rules find, for the credential audit."""
