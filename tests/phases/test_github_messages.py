"""GitHub's own lines in Git's standard error."""

import pytest

from moonmind_appliance.phases.github_messages import (
    accepted_push_lines,
    declined,
    remote_lines,
    trusted_address,
    trusted_hosts,
)
from moonmind_appliance.rehearsal.github.push_refusals import PUSH_WARNING
from moonmind_appliance.settings import Settings

HOSTS = trusted_hosts(Settings())


def told(*lines: str) -> str:
    return "".join(f"remote: {line}        \n" for line in lines)


def test_only_githubs_lines_are_kept_in_their_order() -> None:
    """Without Git's own, without padding, and without progress."""
    stderr = (
        "remote: Enumerating objects: 7, done.\rremote: Counting objects: 100% (7/7)\n"
        "remote: Resolving deltas: 100% (1/1)\n"
        + told("error: GH006: Protected branch update failed.", "", "————", "- Changes need a review.")
        + "To https://github.com/acme/shop.git\n ! [remote rejected] x -> x (protected branch hook declined)\n"
    )
    assert remote_lines(stderr) == ["error: GH006: Protected branch update failed.", "- Changes need a review."]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x00b\x07c", "abc"),
        ("right\u202eto left", "rightto left"),
        ("Total sum of points exceeded", "Total sum of points exceeded"),
        ("tab\tand   blanks", "tab and blanks"),
        ("größe 漢字", "größe 漢字"),
    ],
)
def test_a_line_is_shown_without_what_controls_a_terminal(line: str, shown: str) -> None:
    """A hook can print anything."""
    assert remote_lines(told(line)) == [shown]


def test_lines_are_bounded_in_number_and_length() -> None:
    """40 lines, 400 characters each, 3,000 in all; "…" replaces the others."""
    many = remote_lines(told(*(f"line {number}" for number in range(100))))
    assert (len(many), many[0], many[-1]) == (41, "line 0", "…")
    assert remote_lines(told("x" * 500)) == ["x" * 400 + "…"]
    long = remote_lines(told(*("y" * 390 for _ in range(30))))
    assert long[-1] == "…"
    assert sum(map(len, long)) <= 3001


def test_the_reason_for_a_declined_branch_is_gits() -> None:
    """None if it was not declined."""
    assert declined("x\n ! [remote rejected] a/b -> a/b (push declined due to x)\ny") == "push declined due to x"
    assert declined(" ! [rejected] a -> a (stale info)") is None
    assert declined("remote: ! [remote rejected] a -> a (forged)") is None


def test_only_what_concerns_an_accepted_push_is_reported() -> None:
    """Warnings and bypassed rules; not what GitHub prints after every push."""
    routine = (
        "Create a pull request for 'x' on GitHub by visiting:",
        "     https://github.com/acme/shop/pull/new/x",
        "GitHub found 3 vulnerabilities on acme/shop's default branch (1 high, 2 low). To find out more, visit:",
        "     https://github.com/acme/shop/security/dependabot",
    )
    assert accepted_push_lines(told(*routine)) == []
    bypassed = "Bypassed rule violations for refs/heads/x:"
    assert accepted_push_lines(told(*PUSH_WARNING.splitlines(), *routine, bypassed)) == [
        *PUSH_WARNING.splitlines(),
        bypassed,
    ]


def test_an_address_ends_before_the_sentence_does() -> None:
    """Punctuation after it is not part of it."""
    address = "https://github.com/orgs/acme/sso?authorization_request=A"
    assert trusted_address(f"visit {address}, then try again.", HOSTS) == address
    assert trusted_address("visit the settings", HOSTS) is None


def test_an_address_of_another_host_is_skipped() -> None:
    """GitHub's messages may name a page of its documentation first."""
    address = "https://github.com/orgs/acme/sso?authorization_request=A"
    assert trusted_address(f"see https://docs.github.com/articles/sso, or visit {address}", HOSTS) == address
