"""Secrets out of every byte that is kept.

Two nets: by value (each secret the appliance knows, in its common encodings) and by shape (what tokens of well-known
issuers look like). A value that is short or trivial is not redacted by value: a secret of "1" would eat every digit.
"""

import base64
import json
import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote

SHORTEST_VALUE = 8
_TRIVIAL = frozenset({"changeme", "password", "localhost", "undefined", "username"})
_KEPT_PER_KIND = 4
_LONGEST_LINE = 256 * 1024
# Longer than any token seen (ChatGPT's access tokens are about 2 kB).
_OVERLAP = 16 * 1024
_BASE64_TAIL = 3
# Below base64's usual line length nothing is wrapped.
_SHORTEST_WRAPPED = 60
_LINE_BREAK = re.compile(rb"\r?\n|\\n")


class Shape(NamedTuple):
    """What a kind of secret looks like. Only `certain` shapes stop a push: the others also match harmless text."""

    kind: str
    pattern: bytes
    certain: bool


SHAPES: tuple[Shape, ...] = (
    Shape("GitHub token", rb"\bgh[pousr]_[A-Za-z0-9]{36,255}", certain=True),
    Shape("GitHub fine-grained token", rb"\bgithub_pat_[A-Za-z0-9_]{22,255}", certain=True),
    Shape("OpenAI API key", rb"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,255}", certain=True),
    Shape("OpenAI refresh token", rb"\brt_[A-Za-z0-9._-]{24,512}", certain=True),
    Shape("MoonMind token", rb"\bmma_[A-Za-z0-9_-]{40,64}", certain=True),
    Shape("GitLab token", rb"\bglpat-[A-Za-z0-9_-]{20,255}", certain=True),
    Shape("npm token", rb"\bnpm_[A-Za-z0-9]{36}", certain=True),
    Shape("Slack token", rb"\bxox[abeprs]-[A-Za-z0-9-]{20,255}", certain=True),
    Shape("AWS access key", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", certain=True),
    Shape(
        "JSON web token",
        rb"\beyJ[A-Za-z0-9_-]{8,8192}\.eyJ[A-Za-z0-9_-]{8,16384}\.[A-Za-z0-9_-]{8,4096}",
        certain=True,
    ),
    Shape(
        "private key",
        rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{16,16384}-----END [A-Z ]{0,30}PRIVATE KEY-----",
        certain=True,
    ),
    Shape(
        "token in JSON",
        rb'(?<=_token)\\{0,3}"\s{0,4}:\s{0,4}\\{0,3}"[^"\\\s]{8,8192}',
        certain=False,
    ),
    Shape(
        "authorization header",
        rb"(?i:\bauthorization\s{0,4}:\s{0,4}(?:bearer|basic|token)\s{1,4})\S{8,8192}",
        certain=False,
    ),
    Shape("password in an address", rb"(?<=://)[^\s/@:\"']{1,128}:[^\s/@\"']{3,512}(?=@)", certain=False),
)

_SHAPES = re.compile(b"|".join(b"(?P<s%d>%b)" % (i, shape.pattern) for i, shape in enumerate(SHAPES)))
_CERTAIN = re.compile(b"|".join(b"(?P<s%d>%b)" % (i, shape.pattern) for i, shape in enumerate(SHAPES) if shape.certain))


class Finding(NamedTuple):
    """A secret that was found: its kind and where it begins, in bytes. Never the secret."""

    kind: str
    offset: int


class ByteSink(Protocol):
    """Takes bytes in any chunks."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""


def is_redactable(value: str) -> bool:
    """Whether a value is long and odd enough to be searched for without eating harmless text."""
    return len(value) >= SHORTEST_VALUE and len(set(value)) > _BASE64_TAIL and value.lower() not in _TRIVIAL


def encodings(value: str) -> set[bytes]:
    """The forms in which a value commonly turns up: as is, JSON, percent, hexadecimal, base64 at each alignment."""
    raw = value.encode()
    forms = {
        raw,
        json.dumps(value)[1:-1].encode(),
        quote(value, safe="").encode(),
        raw.hex().encode(),
        raw.hex().upper().encode(),
    }
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The first and last characters of a base64 text depend on the neighbours: leave them out.
            coded = encode(b"\0" * shift + raw).rstrip(b"=")
            core = coded[(0, 2, 3)[shift] : len(coded) - (1 if (len(raw) + shift) % 3 else 0)]
            forms.add(core)
    return {form for form in forms if len(form) >= SHORTEST_VALUE}


class _Form(NamedTuple):
    """One form of a value; long base64 may be wrapped into lines, also inside a JSON string."""

    form: bytes
    kind: str
    may_be_wrapped: bool


class _Bytes:
    """Bytes as they are."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def place(self, index: int) -> int:
        """Where the byte stood."""
        return index


class _Unwrapped(_Bytes):
    """Bytes without their line breaks, and where each byte stood."""

    def __init__(self, data: bytes) -> None:
        kept, at, gone = [], 0, 0
        self._places: list[int] = []
        self._gone: list[int] = []
        for line_break in _LINE_BREAK.finditer(data):
            kept.append(data[at : line_break.start()])
            at = line_break.end()
            gone += at - line_break.start()
            self._places.append(at - gone)
            self._gone.append(gone)
        kept.append(data[at:])
        super().__init__(b"".join(kept) if self._places else data)

    def place(self, index: int) -> int:
        """Where the byte stood."""
        before = bisect_right(self._places, index)
        return index + (self._gone[before - 1] if before else 0)


def _all_of(form: bytes, data: bytes) -> Iterator[int]:
    at = data.find(form)
    while at >= 0:
        yield at
        at = data.find(form, at + 1)


class Redactor:
    """Knows the appliance's secrets. Thread-safe; `add` may come at any time, a value twice is kept once."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, list[str]] = {}
        self._forms: tuple[_Form, ...] = ()
        for kind, value in (secrets or {}).items():
            self.add(kind, value)

    def add(self, kind: str, value: str) -> None:
        """Search for `value` from now on. Of each kind the last few values are kept (tokens are refreshed)."""
        if not is_redactable(value):
            return
        with self._lock:
            values = self._values.setdefault(kind, [])
            if value in values:
                return
            values.append(value)
            del values[:-_KEPT_PER_KIND]
            self._forms = tuple(
                _Form(form, kind, len(form) >= _SHORTEST_WRAPPED)
                for kind, values in self._values.items()
                for value in values
                for form in encodings(value)
            )

    def _known(self, data: bytes) -> list[tuple[int, int, str]]:
        """Where known values stand: start, end, kind; in order, without overlap, a value that holds another first.

        Plain searches: an expression of all forms takes seconds to compile, and tokens are renewed in mid-run.
        """
        plain, unwrapped = _Bytes(data), _Unwrapped(data)
        found: list[tuple[int, int, str]] = []
        for form, kind, may_be_wrapped in self._forms:
            within = unwrapped if may_be_wrapped else plain
            ends = ((at, at + len(form) - 1) for at in _all_of(form, within.data))
            found += [(within.place(start), within.place(last) + 1, kind) for start, last in ends]
        if not found:
            return []
        found.sort(key=lambda hit: (hit[0], -hit[1], hit[2]))
        kept, end = [], 0
        for hit in found:
            if hit[0] >= end:
                kept.append(hit)
                end = hit[1]
        return kept

    def kinds(self) -> list[str]:
        """What is searched for by value; for the credential audit."""
        with self._lock:
            return sorted(self._values)

    def redact(self, data: bytes) -> bytes:
        """The bytes with each secret replaced by `[redacted:kind]`."""
        parts, at = [], 0
        for start, end, kind in self._known(data):
            parts += [data[at:start], b"[redacted:%b]" % kind.encode()]
            at = end
        data = b"".join([*parts, data[at:]])
        return _SHAPES.sub(_replace_shape, data)

    def redact_text(self, text: str) -> str:
        """`redact` for text."""
        return self.redact(text.encode(errors="replace")).decode(errors="replace")

    def find(self, data: bytes) -> list[Finding]:
        """Every known value and every certain shape in the bytes, by offset."""
        found = [Finding(kind, start) for start, _, kind in self._known(data)]
        found += [Finding(_shape_of(m).kind, m.start()) for m in _CERTAIN.finditer(data)]
        return sorted(found, key=lambda finding: finding.offset)

    def stream(self, sink: ByteSink) -> "RedactingStream":
        """A sink that redacts whole lines on their way into `sink`; call its `flush` at the end."""
        return RedactingStream(self, sink)


class RedactingStream:
    """Holds an unfinished line back, so that a secret cut in two by a chunk's edge is still seen. Not thread-safe."""

    def __init__(self, redactor: Redactor, sink: ByteSink) -> None:
        self._redactor = redactor
        self._sink = sink
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Take some bytes; whole lines go on at once."""
        self._held += data
        cut = self._held.rfind(b"\n") + 1
        key = self._held.find(b"-----BEGIN ")
        if key >= 0 and b"-----END " not in self._held[key:] and len(self._held) - key < _OVERLAP:
            cut = min(cut, key)
        if not cut and len(self._held) > _LONGEST_LINE:
            cut = self._cut_long_line()
        if cut > 0:
            self._sink.write(self._redactor.redact(bytes(self._held[:cut])))
            del self._held[:cut]

    def _cut_long_line(self) -> int:
        """A place in an endless line that no secret spans: behind the last blank or quote before the overlap."""
        end = len(self._held) - _OVERLAP
        return max(self._held.rfind(mark, 0, end) for mark in (b" ", b'"', b",", b"\t")) + 1 or end

    def flush(self) -> None:
        """Pass on what was held back. Safe twice."""
        if self._held:
            self._sink.write(self._redactor.redact(bytes(self._held)))
            self._held.clear()


def _shape_of(match: re.Match[bytes]) -> Shape:
    name = match.lastgroup or "s0"
    return SHAPES[int(name[1:])]


def _replace_shape(match: re.Match[bytes]) -> bytes:
    shape = _shape_of(match)
    text = match.group()
    mark = b"[redacted:%b]" % shape.kind.encode()
    if shape.kind == "token in JSON":
        # Keep the quotes, so that a JSON line stays one.
        return text[: text.rfind(b'"') + 1] + mark
    if shape.kind == "authorization header":
        return text[: len(text) - len(text.split()[-1])] + mark
    return mark


def join_kinds(findings: Iterable[Finding]) -> str:
    """The kinds of some findings, each once, for a sentence."""
    return ", ".join(sorted({finding.kind for finding in findings}))
