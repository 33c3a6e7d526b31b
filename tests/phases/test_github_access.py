"""A run's access to GitHub in its credential audit."""

import json

import msgspec
import pytest

from moonmind_appliance.github.tokens import CredentialReport, FixedToken, UsedToken
from moonmind_appliance.phases.github_access import AUDIT, end_github_access, github_access
from moonmind_appliance.settings import Secret
from tests.phases.contexts import OnlyToken, make_context


class Taken(FixedToken):
    """A source whose tokens are those of a test."""

    def __init__(self, *tokens: tuple[str, str]) -> None:
        super().__init__(Secret("ghs_x"))
        self.tokens = tokens
        self.ends = 0

    def end(self) -> None:
        self.ends += 1

    def report(self) -> CredentialReport:
        tokens = [UsedToken(taken_at=at, expires_at=at, why="first use", end=end) for at, end in self.tokens]
        revoked = bool(tokens) and all(end == "revoked" for _, end in self.tokens)
        return CredentialReport(credential="GITHUB_APP_ID", renewed=len(tokens) - 1, revoked=revoked, tokens=tokens)


def client(tokens: FixedToken) -> OnlyToken:
    made = OnlyToken()
    made.tokens = tokens
    return made


def test_the_operators_token_is_named_and_not_ended() -> None:
    """There is nothing to revoke, and nothing is written at the end."""
    ctx = make_context(github=OnlyToken("ghp_x"))
    assert github_access(ctx).credential == "GITHUB_TOKEN"
    end_github_access(ctx)
    assert ctx.artifacts.read(AUDIT) is None
    assert msgspec.json.encode(github_access(make_context())) == b'{"credential":"none"}'


def test_the_end_is_added_to_the_audit() -> None:
    """The rest of the audit is unchanged; a run without an audit gets one."""
    for saved in (None, {"found": [1]}, "not JSON"):
        tokens = Taken(("1", "revoked"))
        ctx = make_context(github=client(tokens))
        if saved is not None:
            body = saved if isinstance(saved, str) else json.dumps(saved)
            ctx.artifacts.keep(AUDIT, None, None, body.encode(), "")  # type: ignore[arg-type]
        end_github_access(ctx)
        audit = json.loads(ctx.artifacts.read(AUDIT) or b"{}")
        assert (audit["github"]["revoked"], tokens.ends) == (True, 1)
        assert audit.get("found") == ([1] if isinstance(saved, dict) else None)


def test_an_attempt_that_took_no_token_writes_nothing() -> None:
    """After its end no token may be requested."""
    tokens = Taken()
    ctx = make_context(github=client(tokens))
    end_github_access(ctx)
    assert (ctx.artifacts.read(AUDIT), tokens.ends) == (None, 1)


@pytest.mark.parametrize(
    ("before", "revoked"),
    [("revoked", True), ("over", True), ("in use", False), ("rejected by GitHub", False)],
)
def test_the_tokens_of_earlier_attempts_stay_in_the_audit(before: str, revoked: bool) -> None:  # noqa: FBT001 - a case
    """They are in order, each once. A token whose end is unknown does not count as revoked."""
    ctx = make_context(github=client(Taken(("1", before))))
    end_github_access(ctx)
    again = make_context(github=client(Taken(("2", "revoked"))), artifacts=ctx.artifacts)
    end_github_access(again)
    end_github_access(again)
    found = json.loads(ctx.artifacts.read(AUDIT) or b"")["github"]
    assert [token["taken_at"] for token in found["tokens"]] == ["1", "2"]
    assert (found["revoked"], found["renewed"]) == (revoked, 1)


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {"tokens": []},
        {"credential": 1, "tokens": []},
        {"credential": "GITHUB_APP_ID"},
        {"credential": "GITHUB_APP_ID", "tokens": None},
        {"credential": "GITHUB_APP_ID", "tokens": [1]},
        {"credential": "GITHUB_APP_ID", "tokens": [{"taken_at": "1"}]},
        {"credential": "GITHUB_APP_ID", "tokens": [{"taken_at": [], "expires_at": {}, "why": 1, "end": []}]},
    ],
)
def test_a_damaged_audit_does_not_fail_the_run(saved: object) -> None:
    """It is replaced: the audit contains the tokens of this attempt."""
    ctx = make_context(github=client(Taken(("1", "revoked"))))
    ctx.artifacts.keep(AUDIT, None, None, json.dumps({"github": saved}).encode(), "")  # type: ignore[arg-type]
    end_github_access(ctx)
    found = json.loads(ctx.artifacts.read(AUDIT) or b"")["github"]
    assert ([token["taken_at"] for token in found["tokens"]], found["revoked"]) == (["1"], True)
