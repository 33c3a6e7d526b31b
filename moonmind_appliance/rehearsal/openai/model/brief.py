"""Extracts a title, a goal and requirements from a text, for the stand-in model."""

import json
import re
import unicodedata

import msgspec

_TITLE_SIZE = 80
_SENTENCE_SIZE = 240
_MOST_REQUIREMENTS = 8
_STOP_WORDS = frozenset(
    word
    for line in (
        "a add an and are as be build by can create for from has in into is it let make new of on or our please",
        "so that the their them there this to users want we when which will with",
    )
    for word in line.split()
)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ x]\]\s+)?(?P<text>\S.*)$")
_HEADING = re.compile(r"^\s*#{1,6}\s+(?P<text>\S.*)$")
_TITLE_FIELD = re.compile(
    r"""^\s*["']?(?:title|name|feature|summary)["']?\s*:\s*["']?(?P<text>[^"'{}\[\],]+)""", re.IGNORECASE
)
_REQUIREMENT = re.compile(r"^- \*\*FR-\d+\*\*: The product MUST satisfy: (?P<text>.+)$", re.MULTILINE)
_SPEC_TITLE = re.compile(r"^# Feature Specification: (?P<text>.+)$", re.MULTILINE)


class Brief(msgspec.Struct, frozen=True):
    """One line each; `requirements` has at least one, at most eight."""

    title: str
    goal: str
    requirements: tuple[str, ...]

    @property
    def short_name(self) -> str:
        """Two to four words with hyphens, for the feature's folder."""
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        words = re.findall(r"[a-z0-9]+", plain)
        significant = [word for word in words if word not in _STOP_WORDS] or words
        return "-".join(significant[:4])[:40].strip("-") or "feature"


def read_text(text: str) -> Brief:
    """Parse a submitted text: Markdown, YAML, JSON or plain sentences, of any size."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    prose = [line for line in lines if re.search(r"\w", line) and not _HEADING.match(line) and not _BULLET.match(line)]
    title = _title(text, lines)
    sentences = [
        clean
        for line in prose
        for piece in re.split(r"(?<=[.!?])\s+", line)
        if (clean := _one_line(piece, _SENTENCE_SIZE)) and clean != title
    ]
    bullets = [_one_line(found["text"], _SENTENCE_SIZE) for line in lines if (found := _BULLET.match(line))]
    goal = sentences[0] if sentences else title
    requirements = [requirement for requirement in bullets if requirement] or sentences[1:] or [goal]
    return Brief(title, goal, tuple(dict.fromkeys(requirements))[:_MOST_REQUIREMENTS])


def read_specification(spec: str) -> Brief:
    """Parse a spec.md, this model's own or any other."""
    found = _SPEC_TITLE.search(spec)
    requirements = tuple(match["text"] for match in _REQUIREMENT.finditer(spec))
    if not found or not requirements:
        return read_text(spec)
    return Brief(_one_line(found["text"], _TITLE_SIZE), requirements[0], requirements[:_MOST_REQUIREMENTS])


def _title(text: str, lines: list[str]) -> str:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    candidates: list[str] = []
    if isinstance(fields, dict):
        candidates += [
            value for key in ("title", "name", "feature", "summary") if isinstance(value := fields.get(key), str)
        ]
    candidates += [found["text"] for line in lines if (found := _HEADING.match(line))]
    candidates += [found["text"] for line in lines[:20] if (found := _TITLE_FIELD.match(line))]
    candidates += lines
    for candidate in candidates:
        if re.search(r"\w", candidate) and (clean := _one_line(candidate, _TITLE_SIZE)):
            return clean.rstrip(".:")
    return "Requested feature"


def _one_line(text: str, size: int) -> str:
    """One printable line, without Markdown that would change the document's structure, cut at a word."""
    text = "".join(char if char.isprintable() else " " for char in text)
    text = text.replace("[", "(").replace("]", ")").replace("<", "(").replace(">", ")")
    text = re.sub(r"\s+", " ", text).strip(" #*_`\"'|\\")
    return text if len(text) <= size else text[:size].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
