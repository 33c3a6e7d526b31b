"""Removes secrets from all stored bytes.

Two methods: by value (each secret the appliance knows, in its common encodings) and by shape (tokens of well-known
issuers). A short or trivial value is not redacted by value: a secret of "1" would redact every digit 1.

Redaction is broad, because a false positive costs little. The search that refuses changes and texts is precise.
"""

import base64
import hashlib
import json
import re
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote

from moonmind_appliance.literal_search import SHORTEST_FOR_LIBRARY, LiteralSearch
from moonmind_appliance.secret_rules import find_by_rules, find_tokens, is_certain_token
from moonmind_appliance.token_shapes import (
    LONGEST_TOKEN,
    Span,
    find_shapes,
    is_token,
    looks_random,
    merge,
)

SHORTEST_VALUE = 8
_LONGEST_VALUE = 16 * 1024
_TRIVIAL = frozenset({"changeme", "password", "localhost", "undefined", "username"})
_KEPT_PER_KIND = 4
_LEARNT_PER_KIND = 8
_KINDS_PER_SOURCE = 8
_LONGEST_LINE = 256 * 1024
# Longer data is processed in pieces, to limit memory use and the time that Python's lock is held.
_LONGEST_AT_ONCE = 1024 * 1024
_BASE64_TAIL = 3
# Shorter values are not wrapped: this is below base64's usual line length.
_SHORTEST_WRAPPED = 60
# Most that wrapping can lengthen a value: a two-byte break after every character.
_MOST_STRETCHED = 3
# Bytes of an encoding that one pass searches for together with those of all others.
_CORE = 16
# Characters of a text, and number of texts, that are kept as known to contain no secret.
_LONGEST_KEPT, _MOST_KEPT = 100, 4096
# Bytes that are searched for wrapped values at once: limits memory use.
_WINDOW = 256 * 1024
_LINE_BREAK = re.compile(rb"\r?\n|\\n")
_KEY_BEGINS, _KEY_ENDS = b"-----BEGIN ", b"-----END "


class Finding(NamedTuple):
    """A secret that was found: its kind and byte offset, never its value.

    `sha256` is the hash with which the operator can allow a token that is not a secret. It is None for a secret that
    the appliance knows, which cannot be allowed.
    """

    kind: str
    offset: int
    sha256: str | None = None


class ByteSink(Protocol):
    """Accepts bytes in chunks of any size."""

    def write(self, data: bytes, /) -> object:
        """Process bytes."""


def is_redactable(value: str) -> bool:
    """Whether a value is long and unusual enough to search for without redacting harmless text."""
    return len(value) >= SHORTEST_VALUE and len(set(value)) > _BASE64_TAIL and value.lower() not in _TRIVIAL


def encodings(value: str) -> set[bytes]:
    """The common encodings of a value: unchanged, JSON, percent, hexadecimal, base64 at each alignment."""
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
            # The first and last characters of a base64 text depend on the adjacent bytes: leave them out.
            coded = encode(b"\0" * shift + raw).rstrip(b"=")
            core = coded[(0, 2, 3)[shift] : len(coded) - (1 if (len(raw) + shift) % 3 else 0)]
            forms.add(core)
    return {form for form in forms if len(form) >= SHORTEST_VALUE}


class _Form(NamedTuple):
    """One encoding of a value."""

    form: bytes
    kind: str
    certain: bool


class _Forms:
    """Encodings of values, and a search that tells which of them may occur in some bytes."""

    def __init__(self, forms: Iterable[_Form] = ()) -> None:
        self._forms = tuple(forms)
        self._cores = LiteralSearch([_core(form.form) for form in self._forms])
        self.longest = max((len(form.form) for form in self._forms), default=0)

    def __len__(self) -> int:
        return len(self._forms)

    def present(self, data: bytes, *, certain_only: bool) -> list[_Form]:
        """The encodings that occur in the data."""
        candidates = (self._forms[index] for index in sorted(self._cores.present(data)))
        return [form for form in candidates if (form.certain or not certain_only) and form.form in data]


def _core(form: bytes) -> bytes:
    """The bytes in the middle: all JSON web tokens begin alike."""
    at = max(0, (len(form) - _CORE) // 2)
    return form[at : at + _CORE]


class _Unwrapped:
    """Bytes without line breaks, and the original offset of each byte."""

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
        self.data = b"".join(kept)

    def place(self, index: int) -> int:
        """The byte's original offset."""
        before = bisect_right(self._places, index)
        return index + (self._gone[before - 1] if before else 0)


class _Learnt:
    """Values of one kind from one login file: those of sign-ins, and those seen in the file later."""

    def __init__(self) -> None:
        self.signed_in: list[str] = []
        self.seen: list[str] = []
        self.certain: set[str] = set()

    def add(self, value: str, *, signed_in: bool) -> bool:
        """Add a value; returns whether it is new. Later values never displace those of a sign-in."""
        if signed_in:
            self.certain.add(value)
        if value in self.signed_in or (value in self.seen and not signed_in):
            return False
        # The first value was in the file before any agent ran.
        kept, most = (
            (self.signed_in, _KEPT_PER_KIND) if signed_in or not self.signed_in else (self.seen, _LEARNT_PER_KIND)
        )
        kept.append(value)
        del kept[:-most]
        # A GitHub App makes a new JWT every few minutes.
        self.certain &= {*self.signed_in, *self.seen}
        return True


class Redactor:
    """Finds and redacts the appliance's secrets. Thread-safe; `add`, `learn` and `forget` are idempotent."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, list[str]] = {}
        self._learnt: dict[str, dict[str, _Learnt]] = {}
        self._plain = _Forms()
        self._wrapped = _Forms()
        # Short texts without secrets: most texts in rows and events are repeated, such as ids, names and states.
        self._clean: set[str] = set()
        for kind, value in (secrets or {}).items():
            self.add(kind, value)

    def add(self, kind: str, value: str) -> None:
        """Search for the operator's `value` from now on, even if no shape matches. The last few of a kind are kept."""
        if not is_redactable(value):
            return
        with self._lock:
            values = self._values.setdefault(kind, [])
            if value in values:
                return
            values.append(value)
            del values[:-_KEPT_PER_KIND]
            self._make_forms()

    def learn(self, source: str, secrets: Mapping[str, str], *, signed_in: bool = False) -> None:
        """Search for the secrets of a login file, which an agent may have written: kind to value.

        Without `signed_in`, a value without a token's form is ignored. One that could be a token of an unknown issuer
        is redacted but is not a finding: it must not cause refusals of other users' texts and changes. The same applies
        to a value that has only the shape of a token.

        Args:
            source: whose login it is; precedes the kind in marks and findings.
            secrets: kind to value.
            signed_in: a sign-in wrote the file, and no agent has changed it. Its values need not have a token's form,
                and no later value replaces them.
        """
        with self._lock:
            known = self._learnt.setdefault(source, {})
            new = False
            for kind, value in secrets.items():
                fits = is_redactable(value) if signed_in else is_token(value) or looks_random(value)
                if len(value) > _LONGEST_VALUE or not fits:
                    continue
                if kind in known or len(known) < _KINDS_PER_SOURCE:
                    new |= known.setdefault(kind, _Learnt()).add(value, signed_in=signed_in)
            if new:
                self._make_forms()

    def forget(self, source: str) -> None:
        """Stop searching for the secrets of that source: its login was signed out."""
        with self._lock:
            if self._learnt.pop(source, None):
                self._make_forms()

    def _all_values(self) -> Iterator[tuple[str, str, bool]]:
        """Kind, value, and whether it is certainly a secret."""
        for kind, values in self._values.items():
            yield from ((kind, value, True) for value in values)
        for source, kinds in self._learnt.items():
            for kind, learnt in kinds.items():
                for value in dict.fromkeys([*learnt.signed_in, *learnt.seen]):
                    yield f"{source} {kind}", value, is_certain_token(value) or value in learnt.certain

    def _make_forms(self) -> None:
        forms = [_Form(form, kind, certain) for kind, value, certain in self._all_values() for form in encodings(value)]
        self._plain = _Forms(form for form in forms if len(form.form) < _SHORTEST_WRAPPED)
        self._wrapped = _Forms(form for form in forms if len(form.form) >= _SHORTEST_WRAPPED)
        # Last, and replaced, not emptied: a thread that searched for the old values adds its text to the old set.
        self._clean = set()

    def _known(self, data: bytes, *, certain_only: bool = False) -> list[Span]:
        """The spans of known values; not merged."""
        found = [
            Span(at, at + len(form.form), form.kind)
            for form in self._plain.present(data, certain_only=certain_only)
            for at in _find_all(form.form, data)
        ]
        # Read once: another thread may replace it.
        wrapped = self._wrapped
        reach = _MOST_STRETCHED * wrapped.longest
        for begin in range(0, len(data) if reach else 0, _WINDOW):
            window = data[begin : begin + _WINDOW + reach]
            found += _wrapped_in(window, begin, wrapped, certain_only=certain_only)
        return found

    def kinds(self) -> list[str]:
        """The kinds of secrets searched for by value, for the credential audit."""
        with self._lock:
            return sorted({kind for kind, _, _ in self._all_values()})

    def spans(self, data: bytes) -> list[Span]:
        """The spans of secrets, in order and without overlap. A value that is known has the kind of that value."""
        known = merge(self._known(data))
        # A token directly after a known value does not begin at a word boundary: blank the value out before the search.
        blanked = _blanked(data, known)
        shapes = merge(find_shapes(blanked))
        return merge([*known, *find_by_rules(blanked, shapes), *shapes])

    def prepare(self) -> None:
        """Load the search library now, for a process that redacts many short texts. Takes a tenth of a second."""
        self.redact(bytes(2 * SHORTEST_FOR_LIBRARY))

    def redact(self, data: bytes) -> bytes:
        """The bytes with each secret replaced by `[redacted:kind]`. Idempotent."""
        if len(data) <= _LONGEST_AT_ONCE:
            return _marked(data, self.spans(data))
        parts = _Parts()
        stream = self.stream(parts)
        for begin in range(0, len(data), _LONGEST_LINE):
            stream.write(data[begin : begin + _LONGEST_LINE])
        stream.flush()
        return b"".join(parts.written)

    def redact_text(self, text: str) -> str:
        """`redact` for text."""
        clean = self._clean
        if text in clean:
            return text
        redacted = self.redact(text.encode(errors="replace")).decode(errors="replace")
        if redacted == text and len(text) <= _LONGEST_KEPT:
            if len(clean) >= _MOST_KEPT:
                clean.clear()
            clean.add(text)
        return redacted

    def find(self, data: bytes, allowed: Collection[str] = (), *, most: int = 1000) -> list[Finding]:
        """The known values in the bytes, and the certain tokens whose SHA-256 hash is not allowed; by offset.

        Contains all known values, and at least `most` tokens if there are that many.
        """
        known = merge(self._known(data, certain_only=True))
        tokens: dict[int, Finding] = {}
        for span in find_tokens(_blanked(data, known)):
            sha256 = hashlib.sha256(data[span.start : span.end]).hexdigest()
            if sha256 not in allowed:
                # If two rules match at the same position, the first is more precise.
                tokens.setdefault(span.start, Finding(span.kind, span.start, sha256))
                if len(tokens) >= most:
                    break
        found = [Finding(span.kind, span.start) for span in known]
        return sorted([*found, *tokens.values()], key=lambda finding: finding.offset)

    def stream(self, sink: ByteSink) -> "RedactingStream":
        """A sink that redacts complete lines and writes them to `sink`; call its `flush` at the end."""
        return RedactingStream(self, sink)


class RedactingStream:
    """Buffers an incomplete line, so that a secret split across chunks is found. Not thread-safe."""

    def __init__(self, redactor: Redactor, sink: ByteSink) -> None:
        self._redactor = redactor
        self._sink = sink
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Process bytes; complete lines are passed on at once, and of a very long line all but the last kilobytes."""
        self._held += data
        if len(self._held) <= _LONGEST_LINE and b"\n" not in data:
            return
        cut = self._held.rfind(b"\n") + 1
        key = self._held.rfind(_KEY_BEGINS)
        if key >= 0 and self._held.find(_KEY_ENDS, key) < 0 and len(self._held) - key < LONGEST_TOKEN:
            cut = min(cut, key)
        if len(self._held) - cut > _LONGEST_LINE:
            cut = len(self._held) - LONGEST_TOKEN
        if cut > 0:
            self._pass_on(cut)

    def _pass_on(self, cut: int) -> None:
        """Write the bytes before the cut, or before the secret that spans it."""
        data = bytes(self._held)
        before = []
        for span in self._redactor.spans(data):
            if span.end > cut:
                # Longer than a token: adjacent spans that were merged. Cut it rather than buffer it indefinitely.
                cut = min(cut, span.start) if len(data) - span.start <= _LONGEST_LINE else span.end
            if span.end <= cut:
                before.append(span)
        if cut:
            self._sink.write(_marked(data[:cut], before))
            del self._held[:cut]

    def flush(self) -> None:
        """Pass on the buffered bytes. Idempotent."""
        if self._held:
            self._sink.write(self._redactor.redact(bytes(self._held)))
            self._held.clear()


class _Parts:
    """A sink that collects its input."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self.written.append(data)


def _find_all(needle: bytes, data: bytes) -> Iterator[int]:
    """The offsets of `needle` in the data, without overlap."""
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + len(needle))


def _wrapped_in(data: bytes, offset: int, forms: _Forms, *, certain_only: bool) -> Iterator[Span]:
    """The spans of long encodings in a part of the data: base64 may be wrapped into lines, also in a JSON string."""
    # A cheap test, sufficient for a text without any of the encodings.
    flat = data.replace(b"\\n", b"").replace(b"\r\n", b"").replace(b"\n", b"")
    present = forms.present(flat, certain_only=certain_only)
    if present:
        unwrapped = _Unwrapped(data)
        for form in present:
            for at in _find_all(form.form, unwrapped.data):
                start, last = unwrapped.place(at), unwrapped.place(at + len(form.form) - 1)
                yield Span(offset + start, offset + last + 1, form.kind)


def _blanked(data: bytes, spans: list[Span]) -> bytes:
    """The data with each span replaced by blanks."""
    if not spans:
        return data
    changed = bytearray(data)
    for span in spans:
        changed[span.start : span.end] = b" " * (span.end - span.start)
    return bytes(changed)


def _marked(data: bytes, spans: Iterable[Span]) -> bytes:
    """The bytes with each span replaced by a mark; the spans are in order and do not overlap."""
    parts, at = [], 0
    for span in spans:
        parts += [data[at : span.start], b"[redacted:%b]" % span.kind.encode()]
        at = span.end
    return b"".join([*parts, data[at:]])
