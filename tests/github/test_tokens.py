"""The operator's own token as a source of tokens, and how a call uses tokens."""

from collections.abc import Sequence

import pytest
from msgspec import UNSET

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.github.tokens import CredentialReport, FixedToken, call_with_token
from moonmind_appliance.settings import Secret
from tests.github.stand_in import TOKEN


def test_the_operators_token_is_neither_renewed_nor_revoked() -> None:
    """It is the same for each request, also after the end of a run; there is no other after a rejection."""
    tokens = FixedToken(Secret(TOKEN))
    tokens.end()
    assert (tokens.current(), tokens.current(99999), tokens.replace(Secret(TOKEN))) == (
        Secret(TOKEN),
        Secret(TOKEN),
        None,
    )
    assert tokens.report().tokens is UNSET


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("ghp_x", "personal access token (classic)"),
        ("github_pat_x", "fine-grained personal access token"),
        ("ghs_x", "installation token of a GitHub App"),
        ("0123456789abcdef0123456789abcdef01234567", "token"),
    ],
)
def test_the_report_has_the_kind_and_not_the_value(token: str, kind: str) -> None:
    """The kind follows from the prefix."""
    report = FixedToken(Secret(token)).report()
    assert (report.credential, report.kind, report.revoked) == ("GITHUB_TOKEN", kind, False)
    assert token not in str(report)


def test_a_token_that_no_header_can_contain_is_refused() -> None:
    """The error does not contain it."""
    with pytest.raises(SettingsError) as caught:
        FixedToken(Secret("ghp_a\u2026b"))
    assert "ghp_a" not in str(caught.value)


class Renewed:
    """A `TokenSource` that gives out these tokens, one after the other."""

    may_push = True

    def __init__(self, *tokens: str, pauses: tuple[float, ...] = ()) -> None:
        self.rejected: list[str] = []
        self.valid_for: list[float] = []
        self._tokens = [Secret(token) for token in tokens]
        self._pauses = pauses

    def current(self, valid_for: float = 0.0) -> Secret:
        self.valid_for.append(valid_for)
        return self._tokens.pop(0)

    def settling(self, token: Secret) -> Sequence[float]:
        return self._pauses

    def replace(self, rejected: Secret) -> Secret | None:
        self.rejected.append(rejected.reveal())
        return self._tokens.pop(0) if self._tokens else None

    def end(self) -> None:
        pass

    def report(self) -> CredentialReport:
        return CredentialReport(credential="none")


def called(tokens: Renewed, *results: str) -> tuple[str, list[str], list[float]]:
    """The last result, the tokens of the calls, and the pauses."""
    used, waited, left = list[str](), list[float](), list(results)

    def call(token: Secret) -> str:
        used.append(token.reveal())
        return left.pop(0)

    result = call_with_token(
        tokens,
        call,
        rejects=lambda each: each == "401",
        is_unknown=lambda each: each in ("401", "403"),
        wait=waited.append,
        valid_for=600,
    )
    assert tokens.valid_for == [600]
    return result, used, waited


def test_a_rejected_token_is_replaced_once() -> None:
    """The call is repeated with the other token. Its rejection is the result."""
    assert called(Renewed("a", "b", "c"), "401", "200") == ("200", ["a", "b"], [])
    assert called(Renewed("a", "b", "c"), "401", "401") == ("401", ["a", "b"], [])


def test_a_rejection_without_another_token_is_the_result() -> None:
    """The source knows the rejected token."""
    tokens = Renewed("a")
    assert called(tokens, "401") == ("401", ["a"], [])
    assert tokens.rejected == ["a"]


def test_a_new_token_is_used_again_while_github_may_not_know_it() -> None:
    """After each pause of the source, and no longer; then it is replaced if it is rejected."""
    assert called(Renewed("a", pauses=(1, 2)), "401", "403", "200") == ("200", ["a"] * 3, [1, 2])
    assert called(Renewed("a", pauses=(1, 2)), "403", "403", "403") == ("403", ["a"] * 3, [1, 2])
    assert called(Renewed("a", "b", pauses=(1,)), "401", "401", "401", "200") == ("200", ["a", "a", "b", "b"], [1, 1])


def test_an_accepted_token_is_used_once() -> None:
    """Other errors are none of the token."""
    tokens = Renewed("a", "b", pauses=(1,))
    assert called(tokens, "500") == ("500", ["a"], [])
    assert tokens.rejected == []
