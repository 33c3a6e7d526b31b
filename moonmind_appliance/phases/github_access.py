"""A run's access to GitHub in its credential audit, and the end of that access."""

from typing import Any

import msgspec
from msgspec import UNSET

from moonmind_appliance.github.app_tokens import ENDED
from moonmind_appliance.github.tokens import CredentialReport, UsedToken
from moonmind_appliance.models import ArtifactType, PhaseName
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.untrusted_json import decode

AUDIT = "credential_audit.json"


def github_access(ctx: PhaseContext) -> CredentialReport:
    """The credential, and the tokens that all attempts of the run have requested with it; never a value."""
    if ctx.github is None:
        return CredentialReport(credential="none")
    return _with_earlier(ctx.github.tokens.report(), _audit(ctx).get("github"))


def end_github_access(ctx: PhaseContext) -> None:
    """Revoke the tokens of this attempt, and record that in the run's credential audit. Idempotent.

    Does nothing with the operator's own token.

    Raises:
        StoreError: the audit could not be saved.
    """
    if ctx.github is None:
        return
    ctx.github.tokens.end()
    if not ctx.github.tokens.report().tokens:
        return
    audit = _audit(ctx) | {"github": github_access(ctx)}
    body = msgspec.json.format(msgspec.json.encode(audit), indent=2)
    ctx.artifacts.keep(AUDIT, ArtifactType.CREDENTIAL_AUDIT, PhaseName.COMMIT_PUSH, body, "application/json")


def _audit(ctx: PhaseContext) -> dict[str, Any]:
    """The audit as it was last saved; empty if there is none that can be read."""
    saved = ctx.artifacts.read(AUDIT)
    try:
        return decode(saved, dict[str, Any]) if saved else {}
    except msgspec.DecodeError:
        return {}


def _with_earlier(report: CredentialReport, saved: object) -> CredentialReport:
    """The report, with the tokens of earlier attempts before those of this one."""
    if report.tokens is UNSET:
        return report
    try:
        earlier = msgspec.convert(saved, CredentialReport)
    except msgspec.ValidationError:
        # None is stored, or it is damaged: that must not fail the run.
        return report
    if earlier.tokens is UNSET or earlier.credential != report.credential:
        return report
    now = {_identity(token) for token in report.tokens}
    tokens = [token for token in earlier.tokens if _identity(token) not in now] + report.tokens
    return msgspec.structs.replace(
        report,
        tokens=tokens,
        renewed=max(0, len(tokens) - 1),
        revoked=bool(report.revoked) and all(token.end in ENDED for token in tokens),
    )


def _identity(token: UsedToken) -> tuple[str, str, str]:
    return token.taken_at, token.expires_at, token.why
