"""The operator's own token as a source of tokens."""

import pytest

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.github.tokens import FixedToken
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
    assert not tokens.takes_tokens


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
    assert (report["credential"], report["kind"], report["revoked"]) == ("GITHUB_TOKEN", kind, False)
    assert token not in str(report)


def test_a_token_that_no_header_can_contain_is_refused() -> None:
    """The error does not contain it."""
    with pytest.raises(SettingsError) as caught:
        FixedToken(Secret("ghp_a\u2026b"))
    assert "ghp_a" not in str(caught.value)
