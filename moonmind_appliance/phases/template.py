"""Whether a file is still its template. Pure.

Spec Kit's templates mark placeholders with brackets. Other templates also use brackets for text that is meant to stay,
such as `[INTERNAL]`. So the remaining brackets do not decide alone: what was filled in counts too, section by section.
"""

from collections.abc import Iterable, Iterator

import msgspec

from moonmind_appliance.phases.markdown import (
    Markdown,
    UnreadableMarkdown,
    brackets,
    headings,
    inlines,
    read_markdown,
    without_comments,
)

# Largest share of the template's placeholder lines that a filled file may contain, whatever was filled in.
_MOST_LEFT = 0.3
# Fewest new words for each word of the template in a text that fills in hardly any section.
_LEAST_NEW = 0.05
_SHORTEST_PLACEHOLDER = 3
_MANDATORY = "(mandatory)"
# A heading's name ends where its own words can begin: "User Story 1 - [Title]", "Phase 3: …", "Summary (optional)".
_NAME_ENDS = ("[", "(", ":", " - ", " \u2013 ", " \u2014 ", "*")


class _Section(msgspec.Struct, frozen=True):
    """A heading's name and its own lines, without its subsections. `level` is 0 before the first heading."""

    name: str
    level: int
    mandatory: bool
    lines: list[str]


def is_unfilled(text: str, template: str) -> bool:
    """Whether a text is still its template, or nearly so. A template that cannot be read is ignored.

    A text that adds nothing is unfilled. If it has more than 30 % of the template's placeholder lines, it is unfilled
    unless it fills in at least half of the template's sections, and more than half of those called mandatory. If it has
    fewer, it is unfilled only if it fills in at most half of the sections and has hardly any words of its own: fewer
    than the placeholder lines that are left, or than a twentieth of what it has of the template.
    """
    try:
        form, filled = read_markdown(template), read_markdown(text)
    except UnreadableMarkdown:
        return False
    # The words of the template's comments are not the file's own either: a part of a comment may be left.
    known, present = set(_lines(template)) | set(_content(template)), set(_content(text))
    if present <= known:
        return True
    placeholders = _placeholders(form)
    every, mandatory = _sections_filled(_sections(form), _sections(filled), known, placeholders)
    # Count placeholders in comments too: a file may hide the template in a comment.
    left = placeholders.intersection(_lines(text))
    if len(left) > _MOST_LEFT * len(placeholders):
        return 2 * sum(every) < max(len(every), 1) or (bool(mandatory) and 2 * sum(mandatory) <= len(mandatory))
    least = max(_LEAST_NEW * _words(present & known), _words(left))
    return 2 * sum(every) <= len(every) and _words(present - known) < least


def _sections_filled(
    form: list[_Section], text: list[_Section], known: set[str], placeholders: set[str]
) -> tuple[list[bool], list[bool]]:
    """For each section with placeholders, whether the text fills it in; then the same for the mandatory sections.

    A mandatory section is filled in if one of its subsections is.
    """
    own: dict[str, list[str]] = {}
    for section in text:
        own.setdefault(section.name, []).extend(section.lines)
    every: list[bool] = []
    mandatory: list[bool | None] = []
    mandatory_level = 0
    for section, following in zip(form, [*form[1:], None], strict=True):
        if section.level <= mandatory_level:
            mandatory_level = 0
        if section.mandatory and not mandatory_level:
            mandatory_level = section.level
            mandatory.append(None)
        to_fill = placeholders.intersection(section.lines)
        is_leaf = section.level > 1 and (following is None or following.level <= section.level)
        unnamed = section.level > 1 and not section.name
        if unnamed or (not to_fill and (section.lines or not is_leaf)):
            continue
        every.append(_filled(to_fill, own.get(section.name, []), known))
        if mandatory_level:
            mandatory[-1] = mandatory[-1] or every[-1]
    return every, [done for done in mandatory if done is not None]


def _filled(to_fill: set[str], lines: list[str], known: set[str]) -> bool:
    """Whether a section has text of its own.

    At least a third of its placeholder lines are replaced, or it has at least as many new words as there are words in
    the placeholder lines that are left.
    """
    left = to_fill.intersection(lines)
    new = _words(line for line in lines if line not in known)
    return new > 0 and (3 * len(left) <= 2 * len(to_fill) or new >= _words(left))


def _sections(markdown: Markdown) -> list[_Section]:
    """The text by headings. The document's title gets an empty name, so that it is equal in template and file."""
    found, begin = [], 0
    name, level, mandatory, titled = "", 0, False, False
    for heading in headings(markdown):
        found.append(_Section(name, level, mandatory, list(_content("\n".join(markdown.lines[begin : heading.begin])))))
        shown = heading.text.casefold()
        name, level, begin = _name(shown), heading.level, heading.end
        mandatory = _MANDATORY in shown
        if level == 1 and not titled:
            name, titled = "", True
    return [*found, _Section(name, level, mandatory, list(_content("\n".join(markdown.lines[begin:]))))]


def _name(heading: str) -> str:
    name = heading
    for end in _NAME_ENDS:
        name = name.partition(end)[0]
    return name.strip()


def _content(text: str) -> Iterator[str]:
    return _lines(without_comments(text))


def _lines(text: str) -> Iterator[str]:
    """The lines with a letter or digit, without marks of lists, quotes and headings, and with single blanks."""
    for line in text.removeprefix("\ufeff").splitlines():
        if any(character.isalnum() for character in line):
            yield " ".join(line.lstrip(" \t>-*+#").split())


def _placeholders(template: Markdown) -> set[str]:
    """The template's lines with bracketed text that is not in code and is no link, check box, note or label."""
    found: set[str] = set()
    for inline in inlines(template):
        source = inline.source
        number, at, known = inline.line, 0, -1
        for pair in brackets(source) if "[" in source else ():
            if pair.end is None or pair.end - pair.begin - 2 < _SHORTEST_PLACEHOLDER:
                continue
            before, after = source[pair.begin - 1 : pair.begin], source[pair.end : pair.end + 1]
            if source[pair.begin + 1] in "[!^" or before in ("[", "]") or after in ("(", "[", ":"):
                continue
            number, at = number + source.count("\n", at, pair.begin), pair.begin
            # Read a line with many brackets only once.
            if number > known:
                found.update(_content(template.lines[number]))
                known = number
    return found


def _words(lines: Iterable[str]) -> int:
    return sum(len(line.split()) for line in lines)
