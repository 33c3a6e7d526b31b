"""Paths that must not change, because their content may be executed before a person has read it."""

import fnmatch
import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from moonmind_appliance.in_container.work_tree import plain_parts

_ANY = "**"
_MAGIC = re.compile(r"[*?\[]")
# Links of the base that lead to other links.
_MOST_ROUNDS = 5
# The base's links can give a file any number of names.
_MOST_NAMES = 100

Parts = tuple[str, ...]


class ProtectedPaths:
    """Patterns in the format of gitignore(5): https://git-scm.com/docs/gitignore.

    A pattern without a slash, or with one at its end only, matches at any depth, others from the repository's root.
    `**` matches any number of folders. A pattern covers what it matches, and everything below it. `!` begins an
    exception, which prevails over all other patterns.

    Names are compared as the most lenient file system compares them: without regard to case, Unicode normalization and
    ignored characters. Exceptions are compared exactly. A search takes linear time.
    """

    def __init__(self, patterns: Collection[str]) -> None:
        self._rules = _Rules(_folded_pattern(pattern) for pattern in patterns if not pattern.startswith("!"))
        self._exceptions = _Rules(_parts_of(pattern[1:]) for pattern in patterns if pattern.startswith("!"))
        # In the order of the base, so that a limit has the same effect each time.
        self._aliases: dict[Parts, dict[Parts, None]] = {}
        self._above_aliases: set[Parts] = set()

    def covers(self, path: str) -> bool:
        """Whether the path is protected."""
        if self._exceptions.covers(tuple(path.split("/"))):
            return False
        return any(self._rules.covers(name) for name in self._names(_folded(path)))

    def on_the_way(self, path: str) -> bool:
        """Whether protected paths may be below the path, if it is a folder."""
        return any(name in self._above_aliases or self._rules.on_the_way(name) for name in self._names(_folded(path)))

    def follow(self, links: Mapping[str, str]) -> None:
        """Also protect what the base's links at protected paths lead to.

        Args:
            links: the target of each link of the base, by its path.
        """
        for _ in range(_MOST_ROUNDS):
            more = False
            for path in [path for path in links if self.covers(path) or self.on_the_way(path)]:
                places, passed = _places(path, links)
                self._above_aliases.update(map(_folded, passed))
                for place in map(_folded, places):
                    names = self._aliases.setdefault(place, {})
                    more = more or _folded(path) not in names
                    names[_folded(path)] = None
                    self._above_aliases.update(place[:length] for length in range(1, len(place)))
            if not more:
                return

    def _names(self, parts: Parts) -> Iterator[Parts]:
        """The names under which the base reaches a file."""
        yield parts
        seen, found = {parts}, [parts]
        # A link to a link.
        for _ in range(_MOST_ROUNDS if self._aliases else 0):
            names, found = found, []
            for name in names:
                for length in range(1, len(name) + 1):
                    for link in self._aliases.get(name[:length], ()):
                        other = link + name[length:]
                        if other not in seen and len(seen) < _MOST_NAMES:
                            seen.add(other)
                            found.append(other)
                            yield other


class _Rules:
    """Patterns as their components.

    A change may have a million paths, so patterns without wildcards are looked up, and the result for a name is kept.
    """

    def __init__(self, patterns: Iterable[Parts]) -> None:
        self._from_root: set[Parts] = set()
        self._anywhere: set[Parts] = set()
        self._names: list[str] = []
        self._others: list[Parts] = []
        for pattern in patterns:
            literal = pattern[1:] if pattern[0] == _ANY else pattern
            if any(_MAGIC.search(part) for part in literal):
                if pattern[0] == _ANY and len(literal) == 1:
                    self._names.append(literal[0])
                else:
                    self._others.append(pattern)
            else:
                (self._anywhere if pattern[0] == _ANY else self._from_root).add(literal)
        self._to_root = {literal[:length] for literal in self._from_root for length in range(1, len(literal))}
        self._to_anywhere = {literal[:length] for literal in self._anywhere for length in range(1, len(literal))}
        self._lengths = sorted({len(literal) for literal in self._anywhere})
        self._way_lengths = sorted({len(literal) for literal in self._to_anywhere})
        self._root_lengths = sorted({len(literal) for literal in self._from_root})
        self._has_name = lru_cache(maxsize=4096)(self._matches_name)

    def covers(self, parts: Parts) -> bool:
        """Whether a pattern matches the path or a folder above it."""
        count = len(parts)
        if any(parts[:length] in self._from_root for length in self._root_lengths):
            return True
        if any(map(self._has_name, parts)):
            return True
        for length in self._lengths:
            if any(parts[start : start + length] in self._anywhere for start in range(count - length + 1)):
                return True
        return any(len(pattern) in _states(pattern, parts) for pattern in self._others)

    def _matches_name(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._names)

    def on_the_way(self, parts: Parts) -> bool:
        """Whether a pattern may match below the path, after at least one of its names has matched."""
        if parts in self._to_root or any(parts[-length:] in self._to_anywhere for length in self._way_lengths):
            return True
        return any(state > (pattern[0] == _ANY) for pattern in self._others for state in _states(pattern, parts))


def _places(path: str, links: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """The paths in the tree to which a link leads, and the links to folders on the way.

    The first path is the link's text. Each further one has one more of those folders replaced by its target.
    """
    places: set[str] = set()
    passed: set[str] = set()
    done, rest = path.split("/")[:-1], links[path].split("/")
    target: str | None = links[path]
    rounds = 0
    while target is not None and not target.startswith("/") and rounds < _MOST_ROUNDS:
        rounds += 1
        place = posixpath.normpath("/".join([*done, *rest]))
        if place.partition("/")[0] not in ("..", "."):
            places.add(place)
        target = None
        while target is None and len(rest) > 1:
            part = rest.pop(0)
            if part == "..":
                if not done:
                    return places, passed
                done.pop()
            elif part not in ("", "."):
                done.append(part)
                target = links.get("/".join(done))
        if target is not None:
            passed.add("/".join(done))
            done.pop()
            rest = [*target.split("/"), *rest]
    return places, passed


def _states(pattern: Parts, parts: Parts) -> set[int]:
    """How many components of the pattern may match the path; all of them: also a folder above it."""
    states = _with_empty(pattern, {0})
    for part in parts:
        if len(pattern) in states:
            break
        following = set()
        for at in states:
            if pattern[at] == _ANY:
                following.add(at)
            elif fnmatch.fnmatchcase(part, pattern[at]):
                following.add(at + 1)
        states = _with_empty(pattern, following)
        if not states:
            break
    return states


def _with_empty(pattern: Parts, states: set[int]) -> set[int]:
    """The states, and those after each `**`, which also matches no folder."""
    for at in sorted(states):
        after = at
        while after < len(pattern) and pattern[after] == _ANY:
            after += 1
            states.add(after)
    return states


def _parts_of(pattern: str) -> Parts:
    """The components of a pattern, which begins with `**` if it matches at any depth; without `**` at its end."""
    text = pattern.removesuffix("/")
    parts = text.removeprefix("/").split("/")
    while len(parts) > 1 and parts[-1] == _ANY:
        del parts[-1]
    parts = [_negated_by_mark(part) for part in parts]
    return tuple(parts) if "/" in text else (_ANY, *parts)


def _folded_pattern(pattern: str) -> Parts:
    return tuple(unicodedata.normalize("NFD", part.casefold()) for part in _parts_of(pattern))


def _folded(path: str) -> Parts:
    return tuple(part for name in path.split("/") for part in _folded_name(name))


@lru_cache(maxsize=4096)
def _folded_name(name: str) -> Parts:
    return tuple(unicodedata.normalize("NFD", part.casefold()) for part in plain_parts(name))


def _negated_by_mark(part: str) -> str:
    """The part with `[!` instead of `[^`: fnmatch negates a bracket expression with `!` only."""
    done, at = "", 0
    while (begin := part.find("[", at)) >= 0:
        first = begin + 1 + part.startswith(("!", "^"), begin + 1)
        # A bracket right at the beginning is a member of the expression.
        end = part.find("]", first + part.startswith("]", first))
        if end < 0:
            break
        expression = part[begin : end + 1]
        done += part[at:begin] + ("[!" + expression[2:] if expression.startswith("[^") else expression)
        at = end + 1
    return done + part[at:]
