"""What GitHub prints when it declines a push, or accepts it with a warning: texts as users report them.

`{ref}` and `{new}` stand for the ref and its new commit.
"""

from typing import NamedTuple

from moonmind_appliance.rehearsal.github.faults import Fault


class PushRefusal(NamedTuple):
    """GitHub's lines, and the reason that Git shows for the ref."""

    text: str
    reason: str


_RULE_VIOLATIONS = "push declined due to repository rule violations"
_HOOK = "pre-receive hook declined"

PROTECTED_BRANCH = PushRefusal(
    """\
error: GH006: Protected branch update failed for {ref}.
error: Changes must be made through a pull request.
""",
    "protected branch hook declined",
)

PUSH_REFUSALS: dict[Fault, PushRefusal] = {
    Fault.PUSH_REFUSED: PROTECTED_BRANCH,
    Fault.PUSH_RULESET: PushRefusal(
        """\
error: GH013: Repository rule violations found for {ref}.
Review all repository rules at https://github.com/acme/shop/rules?ref=refs%2Fheads%2Fmain

- Commits must have verified signatures.
  Found 1 violation:

  {new}

""",
        _RULE_VIOLATIONS,
    ),
    Fault.PUSH_PROTECTION: PushRefusal(
        """\
error: GH013: Repository rule violations found for {ref}.

- GITHUB PUSH PROTECTION
  —————————————————————————————————————————
    Resolve the following violations before pushing again

    - Push cannot contain secrets


     (?) Learn how to resolve a blocked push
     https://docs.github.com/code-security/secret-scanning/pushing-a-branch-blocked-by-push-protection


      —— Hugging Face User Access Token ————————————————————
       locations:
         - commit: {new}
           path: specs/001-x/plan.md:34

       (?) To push, remove secret from commit(s) or follow this URL to allow the secret.
       https://github.com/acme/shop/security/secret-scanning/unblock-secret/2gakJrAududURpxlhIZdNlX14ZZ

""",
        _RULE_VIOLATIONS,
    ),
    Fault.PUSH_PRIVATE_EMAIL: PushRefusal(
        """\
error: GH007: Your push would publish a private email address.
You can make your email public or disable this protection by visiting:
https://github.com/settings/emails
""",
        "push declined due to email privacy restrictions",
    ),
    Fault.PUSH_LARGE_FILE: PushRefusal(
        """\
error: Trace: 8f1e5cb2a0d7
error: See https://gh.io/lfs for more information.
error: File specs/001-x/data.csv is 123.45 MB; this exceeds GitHub's file size limit of 100.00 MB
error: GH001: Large files detected. You may want to try Git Large File Storage - https://git-lfs.github.com.
""",
        _HOOK,
    ),
    Fault.PUSH_HOOK: PushRefusal(
        """\
check-message.sh: failed with exit status 1
Every commit needs a ticket number, such as SHOP-17.
""",
        _HOOK,
    ),
}

PUSH_WARNING = """\
warning: See https://gh.io/lfs for more information.
warning: File specs/001-x/data.csv is 55.00 MB; this is larger than GitHub's recommended maximum file size of 50.00 MB
"""
