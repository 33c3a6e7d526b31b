"""The shapes of tokens of well-known issuers, and the search for them. For redaction, which is broad.

The rules that refuse a change or a text are more precise: see `secret_rules`.

Every search takes linear time for any input: it first finds a fixed part of the token with a plain search, then matches
one bounded expression there. An alternation of all shapes would be tried at every byte, and on `-eyJ-eyJ…` each try
would scan the next kilobytes. Plain searches run in windows, so that no call holds Python's lock for longer than some
milliseconds.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from moonmind_appliance.secret_filters import reads_like_an_identifier

# Bytes that one uninterrupted search examines.
WINDOW = 256 * 1024

LONGEST_TOKEN = 32 * 1024
"""Most bytes that a shape spans."""


class Span(NamedTuple):
    """The position of a secret: its first byte, the byte after its last, and its kind."""

    start: int
    end: int
    kind: str


class Shape(NamedTuple):
    """The shape of a kind of secret. A value of a `certain` shape is one token of a well-known issuer.

    `spans` yields start and end of each secret, in order for each fixed part; they may overlap.
    """

    kind: str
    spans: Callable[[bytes], Iterator[tuple[int, int]]]
    certain: bool


def find_all(needle: bytes, data: bytes, *, any_case: bool = False) -> Iterator[int]:
    """The offsets of `needle` in the data, without overlap. With `any_case` it must be in lower case."""
    at, reach = 0, len(needle) - 1
    for window in range(0, len(data), WINDOW):
        end = min(window + WINDOW + reach, len(data))
        text, offset = (data[window:end].lower(), window) if any_case else (data, 0)
        at = max(at, window)
        while (found := text.find(needle, at - offset, end - offset)) >= 0:
            at = found + offset + len(needle)
            yield at - len(needle)


def merge(spans: list[Span]) -> list[Span]:
    """The spans in order, overlapping ones merged. A merged span has the kind of the first, the longest of equals."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if merged and span.start < merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = merged[-1]._replace(end=span.end)
        else:
            merged.append(span)
    return merged


def find_shapes(data: bytes) -> list[Span]:
    """All secrets recognised by their shape; not merged."""
    return [Span(start, end, shape.kind) for shape in SHAPES for start, end in shape.spans(data)]


def is_token(value: str) -> bool:
    """Whether the whole value has the shape of one token of a well-known issuer. Ordinary text never has."""
    data = value.encode(errors="replace")
    return any((start, end) == (0, len(data)) for shape in SHAPES if shape.certain for start, end in shape.spans(data))


def looks_random(value: str) -> bool:
    """Whether the value could be a token of an unknown issuer: long, one word, of mixed characters.

    Words, paths, addresses, commit ids and UUIDs are not; a checksum in base64 is.
    """
    if not _ONE_RANDOM_WORD.fullmatch(value):
        return False
    kinds = (str.islower, str.isupper, str.isdigit)
    return all(any(map(kind, value)) for kind in kinds) and len(set(value)) >= _DIFFERENT_CHARACTERS


_ONE_RANDOM_WORD = re.compile(r"[A-Za-z0-9_~+=.-]{40,4096}")
_DIFFERENT_CHARACTERS = 20


def _after(
    *anchors: bytes, pattern: bytes, any_case: bool = False, identifiers: bool = True
) -> Callable[[bytes], Iterator[tuple[int, int]]]:
    """Matches of a pattern that begins with one of the anchors. Its first group, if any, is the secret.

    Without `identifiers`, lower-case words are no match: redaction would damage paths and file names.
    """
    compiled = re.compile(pattern)

    def spans(data: bytes) -> Iterator[tuple[int, int]]:
        for anchor in anchors:
            end = 0
            for at in find_all(anchor, data, any_case=any_case):
                if at >= end and (match := compiled.match(data, at)):
                    end = match.end()
                    if identifiers or not reads_like_an_identifier(match[0]):
                        yield match.span(match.lastindex or 0)

    return spans


_TOKEN_BYTES = re.compile(rb"[A-Za-z0-9_-]+")
_CLAIMS_AND_SIGNATURE = re.compile(rb"\.eyJ[A-Za-z0-9_-]{8,16384}\.[A-Za-z0-9_-]{8,4096}")
_HEADER = re.compile(rb"\beyJ")
_LONGEST_HEADER = 8192
_SHORTEST_HEADER = 8


def json_web_tokens(data: bytes) -> Iterator[tuple[int, int]]:
    """The spans of three parts of base64url, two of which begin like JSON.

    Searches for the middle part, which is rarer than the first.
    """
    end = 0
    for dot in find_all(b".eyJ", data):
        match = _CLAIMS_AND_SIGNATURE.match(data, dot)
        if match is None:
            continue
        # Search back only to the previous dot, so that no byte is examined for two tokens.
        begin = max(data.rfind(b".", max(0, dot - _LONGEST_HEADER - 3), dot) + 1, dot - _LONGEST_HEADER - 3, 0)
        run = _TOKEN_BYTES.match(data[begin:dot][::-1])
        header = _HEADER.search(data, dot - (run.end() if run else 0), dot)
        if header and dot - header.end() >= _SHORTEST_HEADER and match.end() > end:
            end = match.end()
            yield header.start(), end


SHAPES: tuple[Shape, ...] = (
    Shape(
        "GitHub token",
        _after(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", pattern=rb"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
        certain=True,
    ),
    Shape(
        "GitHub token",
        _after(
            b"ghs_",
            b"ghu_",
            pattern=rb"\bgh[su]_[A-Za-z0-9]{1,32}_eyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{8,1024}",
        ),
        certain=True,
    ),
    Shape(
        "GitHub fine-grained token",
        _after(b"github_pat_", pattern=rb"\bgithub_pat_[A-Za-z0-9_]{22,255}", identifiers=False),
        certain=True,
    ),
    Shape(
        "OpenAI API key",
        _after(b"sk-", pattern=rb"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,255}", identifiers=False),
        certain=True,
    ),
    Shape(
        "OpenAI refresh token",
        _after(b"rt_", pattern=rb"\brt_[A-Za-z0-9._-]{24,512}", identifiers=False),
        certain=True,
    ),
    Shape("MoonMind token", _after(b"mma_", pattern=rb"\bmma_[A-Za-z0-9_-]{40,64}", identifiers=False), certain=True),
    Shape(
        "GitLab token", _after(b"glpat-", pattern=rb"\bglpat-[A-Za-z0-9_-]{20,255}", identifiers=False), certain=True
    ),
    Shape("npm token", _after(b"npm_", pattern=rb"\bnpm_[A-Za-z0-9]{36}"), certain=True),
    Shape("Slack token", _after(b"xox", pattern=rb"\bxox[abeprs]-[A-Za-z0-9-]{20,255}"), certain=True),
    Shape("AWS access key", _after(b"AKIA", b"ASIA", pattern=rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"), certain=True),
    Shape("JSON web token", json_web_tokens, certain=True),
    Shape(
        "private key",
        _after(
            b"-----BEGIN ",
            pattern=rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{16,16384}-----END [A-Z ]{0,30}PRIVATE KEY-----",
        ),
        certain=True,
    ),
    # The next three never match the mark of an earlier redaction.
    Shape(
        "token in JSON",
        _after(b"_token", pattern=rb'_token\\{0,3}"\s{0,4}:\s{0,4}\\{0,3}"((?!\[redacted:)[^"\\\s]{8,8192})'),
        certain=False,
    ),
    Shape(
        "authorization header",
        _after(
            b"authorization",
            pattern=rb"(?i:\bauthorization\s{0,4}:\s{0,4}(?:bearer|basic|token))\s{1,4}((?!\[redacted:)\S{8,8192})",
            any_case=True,
        ),
        certain=False,
    ),
    Shape(
        "password in an address",
        _after(b"://", pattern=rb"://((?!\[redacted:)[^\s/@:\"']{1,128}:(?!\[redacted:)[^\s/@\"']{3,512})(?=@)"),
        certain=False,
    ),
)
