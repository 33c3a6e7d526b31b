"""How GitHub refuses access to a repository, in REST and in Git: bodies and headers as users report them."""

from typing import NamedTuple

from moonmind_appliance.rehearsal.github.faults import ActiveFaults, Fault
from moonmind_appliance.rehearsal.github.refusals import Refused

_SITE = "https://github.com"


class AccessRefusal(NamedTuple):
    """One refusal: the REST response, and the text and status for Git."""

    rest: Refused
    git_text: str
    git_status: int = 403


def access_refusal(faults: ActiveFaults, owner: str) -> AccessRefusal | None:
    """The refusal of the first active fault, for a repository of that owner; None if there is no such fault."""
    fault = next((fault for fault in _MAKERS if faults.take(fault)), None)
    return None if fault is None else _MAKERS[fault](owner)


def _sso_required(owner: str) -> AccessRefusal:
    address = f"{_SITE}/orgs/{owner}/sso?authorization_request=AOON5OK3ZUKKNIBCF7ACZTK6HKIXZA5PN5ZGOYLONF5GC5DJN5XF62"
    message = (
        "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this "
        "organization."
    )
    page = "https://docs.github.com/articles/authenticating-to-a-github-organization-with-saml-single-sign-on/"
    rest = Refused(403, message, operation=page, headers={"x-github-sso": f"required; url={address}"})
    text = (
        f"The '{owner}' organization has enabled or enforced SAML SSO. To access\n"
        f"this repository, visit {address}\nand try your request again."
    )
    return AccessRefusal(rest, text)


def _blocked(status: int, reason: str, notice: str, text: str) -> AccessRefusal:
    rest = Refused(status, "Repository access blocked")
    rest.body = {
        "message": "Repository access blocked",
        "block": {"reason": reason, "created_at": "2026-01-31T22:32:14Z", "html_url": notice},
    }
    return AccessRefusal(rest, text)


def _taken_down(_: str) -> AccessRefusal:
    notice = f"{_SITE}/github/dmca/blob/master/2026/01/2026-01-31-example.md"
    text = f"Repository unavailable due to DMCA takedown.\nSee the takedown notice for more details:\n  {notice}."
    return _blocked(451, "dmca", notice, text)


def _disabled(_: str) -> AccessRefusal:
    text = (
        "Access to this repository has been disabled by GitHub staff due to a violation of GitHub's terms of service."
    )
    return _blocked(403, "tos", f"{_SITE}/tos", text)


def _suspended(_: str) -> AccessRefusal:
    text = "Your account is suspended. Please visit https://support.github.com for more information."
    return AccessRefusal(Refused(403, "Sorry. Your account was suspended."), text)


def _same(message: str) -> AccessRefusal:
    return AccessRefusal(Refused(403, message, operation="/repos/repos#get-a-repository"), message)


def _ip_not_allowed(owner: str) -> AccessRefusal:
    return _same(
        f"Although you appear to have the correct authorization credentials, the `{owner}` organization has an IP "
        "allow list enabled, and your IP address is not permitted to access this resource."
    )


def _lifetime(owner: str) -> AccessRefusal:
    return _same(
        f"The '{owner}' organization forbids access via a fine-grained personal access tokens if the token's lifetime "
        "is greater than 366 days. Please adjust your token's lifetime at the following URL: "
        f"{_SITE}/settings/personal-access-tokens/12885303"
    )


def _no_permission(_: str) -> AccessRefusal:
    rest = Refused(
        403,
        "Resource not accessible by personal access token",
        operation="/branches/branches#get-a-branch",
        headers={"x-accepted-github-permissions": "contents=read"},
    )
    return AccessRefusal(rest, "Write access to repository not granted.")


_MAKERS = {
    Fault.SSO_REQUIRED: _sso_required,
    Fault.TAKEN_DOWN: _taken_down,
    Fault.REPOSITORY_DISABLED: _disabled,
    Fault.ACCOUNT_SUSPENDED: _suspended,
    Fault.IP_NOT_ALLOWED: _ip_not_allowed,
    Fault.TOKEN_LIFETIME: _lifetime,
    Fault.TOKEN_PERMISSION: _no_permission,
}
