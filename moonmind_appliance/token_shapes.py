"""The shapes of tokens of well-known issuers, and the search for them. For redaction, which is broad.

The rules that refuse a change or a text are more precise: see `secret_rules`.

Every search takes linear time for any input: one pass tells which fixed beginnings of tokens occur at all, and for each
of these one bounded expression is matched where it occurs. An alternation of all shapes would be tried at every byte,
and on `-eyJ-eyJ…` each try would scan the next kilobytes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import NamedTuple

from moonmind_appliance.literal_search import LiteralSearch
from moonmind_appliance.secret_filters import reads_like_an_identifier

LONGEST_TOKEN = 32 * 1024
"""Most bytes that a shape spans."""


class Span(NamedTuple):
    """The position of a secret: its first byte, the byte after its last, and its kind."""

    start: int
    end: int
    kind: str


Search = Callable[[bytes], Iterator[tuple[int, int]]]
"""Yields start and end of each secret in the bytes, in order; they may overlap."""


class Shape(NamedTuple):
    """The shape of a kind of secret. A value of a `certain` shape is one token of a well-known issuer.

    `searches` has a search for each anchor, a fixed string that is part of every such secret.
    """

    kind: str
    searches: Mapping[bytes, Search]
    certain: bool


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
    return [Span(*span, shape.kind) for shape, search in _searches(data) for span in search(data)]


def is_token(value: str) -> bool:
    """Whether the whole value has the shape of one token of a well-known issuer. Ordinary text never has."""
    data = value.encode(errors="replace")
    return any(span == (0, len(data)) for shape, search in _searches(data) if shape.certain for span in search(data))


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


class Anchored:
    """An expression for a fixed string, the anchor, and what follows it.

    It is compiled when it is first used: a command uses few of many. It begins with the anchor, for which Python's `re`
    has a fast search: what must precede the anchor is a look-behind after it.

    Args:
        anchor: the fixed string.
        pattern: what follows it.
        before: what may precede it, as expressions of a fixed length; nothing need precede it if empty.
    """

    def __init__(self, anchor: bytes, pattern: bytes, before: Sequence[bytes] = ()) -> None:
        preceded = b"|".join(b"(?<=" + each + re.escape(anchor) + b")" for each in before)
        self._source = re.escape(anchor) + b"(?:" + preceded + b")" + pattern

    @cached_property
    def expression(self) -> re.Pattern[bytes]:
        """The compiled expression."""
        return re.compile(self._source)


def _words(*anchors: bytes, pattern: bytes, identifiers: bool = True) -> dict[bytes, Search]:
    """Searches for words that begin with one of the anchors, and continue with the pattern.

    Without `identifiers`, lower-case words are no match: redaction would damage paths and file names.
    """
    return {
        anchor: partial(_word_spans, Anchored(anchor, pattern, [rb"\b"]), identifiers=identifiers) for anchor in anchors
    }


def _word_spans(word: Anchored, data: bytes, *, identifiers: bool) -> Iterator[tuple[int, int]]:
    for match in word.expression.finditer(data):
        if identifiers or not reads_like_an_identifier(match[0]):
            yield match.span()


def _parts(
    anchor: bytes, pattern: bytes, *, before: Sequence[bytes] = (), any_case: bool = False
) -> dict[bytes, Search]:
    """A search for an anchor followed by the pattern, whose last group, if any, is the secret."""
    return {anchor: partial(_part_spans, Anchored(anchor, pattern, before), any_case=any_case)}


def _part_spans(whole: Anchored, data: bytes, *, any_case: bool) -> Iterator[tuple[int, int]]:
    for match in whole.expression.finditer(data.lower() if any_case else data):
        yield match.span(match.lastindex or 0)


_TOKEN_BYTES = re.compile(rb"[A-Za-z0-9_-]+")
# What follows the dot is not part of the match: the signature of one token may be the claims of another.
_CLAIMS_AND_SIGNATURE = re.compile(rb"\.eyJ(?=[A-Za-z0-9_-]{8,16384}+\.([A-Za-z0-9_-]{8,4096}+))")
_NESTED_CLAIMS_AND_SIGNATURE = re.compile(rb"(?:\.eyJ[A-Za-z0-9_-]{8,16384}+)+\.[A-Za-z0-9_-]{8,4096}+")
_HEADER = re.compile(rb"\beyJ")
_LONGEST_HEADER = 8192
_SHORTEST_HEADER = 8


def json_web_tokens(data: bytes) -> Iterator[tuple[int, int]]:
    """The spans of three parts of base64url, two of which begin like JSON.

    Searches for the middle part, which is rarer than the first.
    """
    end = 0
    for match in _CLAIMS_AND_SIGNATURE.finditer(data):
        start = _header(data, match.start())
        if start is not None and match.end(1) > end:
            end = match.end(1)
            yield start, end


def _header(data: bytes, dot: int) -> int | None:
    """Where the header begins that ends at the dot."""
    # Search back only to the previous dot, so that no byte is examined for two tokens.
    begin = max(data.rfind(b".", max(0, dot - _LONGEST_HEADER - 3), dot) + 1, dot - _LONGEST_HEADER - 3, 0)
    run = _TOKEN_BYTES.match(data[begin:dot][::-1])
    header = _HEADER.search(data, dot - (run.end() if run else 0), dot)
    return header.start() if header and dot - header.end() >= _SHORTEST_HEADER else None


def _tokens_and_nested_tokens(data: bytes) -> Iterator[tuple[int, int]]:
    """`json_web_tokens`, but if the signature of one may be the claims of another, their common span."""
    for match in _NESTED_CLAIMS_AND_SIGNATURE.finditer(data):
        dot, end = match.span()
        start = _header(data, dot)
        if start is None:
            # The first claims are the header of the second.
            second = data.find(b".eyJ", dot + 1, end)
            start = dot + 1 if 0 < second < data.rfind(b".", dot, end) else None
        if start is not None:
            yield start, end


SHAPES: tuple[Shape, ...] = (
    Shape(
        "GitHub token",
        _words(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", pattern=rb"[A-Za-z0-9]{36,255}"),
        certain=True,
    ),
    Shape(
        "GitHub token",
        _words(
            b"ghs_",
            b"ghu_",
            pattern=rb"[A-Za-z0-9]{1,32}_eyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{8,1024}",
        ),
        certain=True,
    ),
    Shape(
        "GitHub fine-grained token",
        _words(b"github_pat_", pattern=rb"[A-Za-z0-9_]{22,255}", identifiers=False),
        certain=True,
    ),
    Shape(
        "OpenAI API key",
        _words(b"sk-", pattern=rb"(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,255}", identifiers=False),
        certain=True,
    ),
    Shape(
        "OpenAI refresh token",
        _words(b"rt_", pattern=rb"[A-Za-z0-9._-]{24,512}", identifiers=False),
        certain=True,
    ),
    Shape("MoonMind token", _words(b"mma_", pattern=rb"[A-Za-z0-9_-]{40,64}", identifiers=False), certain=True),
    Shape("GitLab token", _words(b"glpat-", pattern=rb"[A-Za-z0-9_-]{20,255}", identifiers=False), certain=True),
    Shape("npm token", _words(b"npm_", pattern=rb"[A-Za-z0-9]{36}"), certain=True),
    Shape("Slack token", _words(b"xox", pattern=rb"[abeprs]-[A-Za-z0-9-]{20,255}"), certain=True),
    Shape("AWS access key", _words(b"AKIA", b"ASIA", pattern=rb"[A-Z2-7]{16}\b"), certain=True),
    Shape("JSON web token", {b".eyJ": _tokens_and_nested_tokens}, certain=True),
    Shape(
        "private key",
        _parts(
            b"-----BEGIN ",
            rb"[A-Z ]{0,30}PRIVATE KEY-----[^-]{16,16384}-----END [A-Z ]{0,30}PRIVATE KEY-----",
        ),
        certain=True,
    ),
    # The next three never match the mark of an earlier redaction.
    Shape(
        "token in JSON",
        _parts(b"_token", rb'\\{0,3}"\s{0,4}:\s{0,4}\\{0,3}"((?!\[redacted:)[^"\\\s]{8,8192})'),
        certain=False,
    ),
    Shape(
        "authorization header",
        _parts(
            b"authorization",
            rb"\s{0,4}:\s{0,4}(?:bearer|basic|token)\s{1,4}((?!\[redacted:)\S{8,8192})",
            before=[rb"\b"],
            any_case=True,
        ),
        certain=False,
    ),
    Shape(
        "password in an address",
        _parts(b"://", rb"((?!\[redacted:)[^\s/@:\"']{1,128}:(?!\[redacted:)[^\s/@\"']{3,512})(?=@)"),
        certain=False,
    ),
)

_SEARCHES = tuple((shape, search) for shape in SHAPES for search in shape.searches.values())
_ANCHORS = LiteralSearch([anchor for shape in SHAPES for anchor in shape.searches], any_case=[b"authorization"])


def _searches(data: bytes) -> list[tuple[Shape, Search]]:
    """The searches whose anchors occur in the data."""
    return [_SEARCHES[index] for index in sorted(_ANCHORS.present(data))]
