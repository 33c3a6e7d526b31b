"""The patterns by default, and what a pattern may be."""

import pytest

from moonmind_appliance.in_container.protected_patterns import DEFAULT, pattern_problem, patterns_of


def test_the_default_patterns_are_patterns_and_different() -> None:
    """Each pattern occurs once."""
    assert [pattern for pattern in DEFAULT if pattern_problem(pattern)] == []
    assert len(set(DEFAULT)) == len(DEFAULT)


def test_words_stand_for_patterns() -> None:
    """`default` stands for all of them, in its place; `none` for no pattern. A repeated pattern counts once."""
    assert patterns_of(["default"]) == DEFAULT
    assert patterns_of(["none"]) == ()
    assert patterns_of(["Makefile", "default", ".travis.yml", "Makefile"]) == ("Makefile", *DEFAULT)


@pytest.mark.parametrize(
    "pattern", ["/", "", "a//b", "../x", "a/./b", "a\\b", "*", "**", "**/*", "/**/", "!", "x" * 201]
)
def test_what_cannot_be_a_pattern_is_refused(pattern: str) -> None:
    """No path has an empty component or `..`. A pattern for every path would stop every run."""
    assert pattern_problem(pattern)


@pytest.mark.parametrize("pattern", ["a", "/a", "a/", "!a/b", "**/a", "a/**", ".github/**/x", "[ab]*", "größe"])
def test_patterns_are_accepted(pattern: str) -> None:
    """All forms of patterns are accepted."""
    assert pattern_problem(pattern) == ""
