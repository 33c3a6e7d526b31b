"""Why a job failed: a stable code, who must act, a message, the next step.

The API, the TUI, the command line and the pull request use the same texts.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec


class WhoActs(StrEnum):
    """Who can fix it. `nobody`: it resolves by itself; only in failures that older versions stored."""

    OPERATOR = "operator"
    SUBMITTER = "submitter"
    GITHUB_ADMIN = "github_admin"
    NOBODY = "nobody"


class FailureCode(StrEnum):
    """Stable codes; `FAILURES` says for each who must act and how."""

    GITHUB_TOKEN_MISSING = "github_token_missing"  # noqa: S105 - a code's name, no secret
    GITHUB_TOKEN_REJECTED = "github_token_rejected"  # noqa: S105 - a code's name, no secret
    GITHUB_TOKEN_INSUFFICIENT = "github_token_insufficient"  # noqa: S105 - a code's name, no secret
    GITHUB_SSO_REQUIRED = "github_sso_required"
    GITHUB_IP_NOT_ALLOWED = "github_ip_not_allowed"
    GITHUB_ACCOUNT_SUSPENDED = "github_account_suspended"
    GITHUB_APP_REJECTED = "github_app_rejected"
    GITHUB_APP_CLOCK_WRONG = "github_app_clock_wrong"
    GITHUB_APP_NOT_INSTALLED = "github_app_not_installed"
    GITHUB_APP_SUSPENDED = "github_app_suspended"
    GITHUB_APP_PERMISSION_MISSING = "github_app_permission_missing"
    GITHUB_REFUSED = "github_refused"
    REPOSITORY_NOT_FOUND = "repository_not_found"
    REPOSITORY_ARCHIVED = "repository_archived"
    REPOSITORY_BLOCKED = "repository_blocked"
    REPOSITORY_EMPTY = "repository_empty"
    BASE_BRANCH_NOT_FOUND = "base_branch_not_found"
    PUSH_NOT_PERMITTED = "push_not_permitted"
    GITHUB_UNREACHABLE = "github_unreachable"
    GITHUB_PROXY_FAILED = "github_proxy_failed"
    GITHUB_RATE_LIMITED = "github_rate_limited"
    IMAGE_MISSING = "image_missing"
    CONTAINER_FAILED = "container_failed"
    CLONE_FAILED = "clone_failed"
    GIT_TIMED_OUT = "git_timed_out"
    SKILL_MISSING = "skill_missing"
    SPEC_KIT_UNUSABLE = "spec_kit_unusable"
    PLAN_WITHOUT_CODEX = "plan_without_codex"
    MODEL_UNAVAILABLE = "model_unavailable"
    TEXT_FLAGGED = "text_flagged"
    CONTEXT_WINDOW_EXCEEDED = "context_window_exceeded"
    AGENT_FAILED = "agent_failed"
    AGENT_UNREACHABLE = "agent_unreachable"
    EGRESS_REFUSED = "egress_refused"
    LOGIN_BROKER_FAILED = "login_broker_failed"
    OPENAI_CHALLENGE = "openai_challenge"
    AGENT_TIMED_OUT = "agent_timed_out"
    AGENT_SILENT = "agent_silent"
    PHASE_OUTPUT_MISSING = "phase_output_missing"
    PHASE_OUTPUT_TOO_LARGE = "phase_output_too_large"
    TEMPLATE_LEFT = "template_left"
    TASKS_WITHOUT_IDS = "tasks_without_ids"
    SECRET_IN_CHANGE = "secret_in_change"  # noqa: S105 - a code's name, no secret
    CHANGE_TOO_LARGE = "change_too_large"
    WORKSPACE_TOO_LARGE = "workspace_too_large"
    COMMIT_FAILED = "commit_failed"
    PUSH_REJECTED = "push_rejected"
    PUSH_PROTECTION = "push_protection"
    FILE_TOO_LARGE = "file_too_large"
    AUTHOR_EMAIL_REFUSED = "author_email_refused"
    WORKFLOW_SCOPE_MISSING = "workflow_scope_missing"
    BRANCH_CONFLICT = "branch_conflict"
    BASE_BRANCH_REWRITTEN = "base_branch_rewritten"
    PULL_REQUEST_REFUSED = "pull_request_refused"
    OUT_OF_MEMORY = "out_of_memory"
    CUT_OFF_TOO_OFTEN = "cut_off_too_often"
    INTERNAL_ERROR = "internal_error"


class FailureKind(NamedTuple):
    """The constant facts of a code: who must act, and the next step."""

    who_acts: WhoActs
    next_step: str


FAILURES: dict[FailureCode, FailureKind] = {
    FailureCode.GITHUB_TOKEN_MISSING: FailureKind(
        WhoActs.OPERATOR,
        "Set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE; restart, and retry the run.",
    ),
    FailureCode.GITHUB_TOKEN_REJECTED: FailureKind(
        WhoActs.OPERATOR,
        "Without a GitHub App, create a new GitHub token, set GITHUB_TOKEN to it and restart. With a GitHub App, check "
        "GITHUB_API_URL, GITHUB_SERVER_URL and the App's installation. Then retry the run.",
    ),
    FailureCode.GITHUB_TOKEN_INSUFFICIENT: FailureKind(
        WhoActs.OPERATOR,
        "Change the permissions or lifetime of the token, or the permissions of the GitHub App, as GitHub's message "
        "says. Without an App you can also set GITHUB_TOKEN to another token and restart. Then retry the run.",
    ),
    FailureCode.GITHUB_SSO_REQUIRED: FailureKind(
        WhoActs.OPERATOR,
        "Authorize the token for the organization: open the address in the message, or use Configure SSO at the token "
        "in GitHub's settings; then retry the run.",
    ),
    FailureCode.GITHUB_IP_NOT_ALLOWED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Add the appliance's public IP address to the organization's IP allow list on GitHub, then retry the run.",
    ),
    FailureCode.GITHUB_ACCOUNT_SUSPENDED: FailureKind(
        WhoActs.OPERATOR,
        "Ask GitHub Support to restore the account of the token or of the GitHub App. Without an App you can also set "
        "GITHUB_TOKEN to a token of another account and restart. Then retry the run.",
    ),
    FailureCode.GITHUB_APP_REJECTED: FailureKind(
        WhoActs.OPERATOR,
        "Check GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE; if they are correct, create a new private key on the "
        "App's settings page on GitHub. Restart, and retry the run.",
    ),
    FailureCode.GITHUB_APP_CLOCK_WRONG: FailureKind(
        WhoActs.OPERATOR,
        "Set this machine's clock (`timedatectl` shows whether it is synchronized), then retry the run.",
    ),
    FailureCode.GITHUB_APP_NOT_INSTALLED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Check the repository's owner and name. Install the GitHub App on the repository (Install App on the App's "
        "page, or Configure at the installation), then retry the run.",
    ),
    FailureCode.GITHUB_APP_SUSPENDED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Unsuspend the GitHub App's installation in the account's settings on GitHub, then retry the run.",
    ),
    FailureCode.GITHUB_APP_PERMISSION_MISSING: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Give the GitHub App the repository permissions Contents and Pull requests, both Read and write, and accept "
        "the new permissions at its installation; then retry the run.",
    ),
    FailureCode.GITHUB_REFUSED: FailureKind(
        WhoActs.OPERATOR, "Read GitHub's message, fix the cause, then retry the run."
    ),
    FailureCode.REPOSITORY_NOT_FOUND: FailureKind(
        WhoActs.SUBMITTER,
        "Check the repository's owner and name; if they are correct, ask the operator to give the token access.",
    ),
    FailureCode.REPOSITORY_ARCHIVED: FailureKind(
        WhoActs.GITHUB_ADMIN, "Unarchive the repository on GitHub, then retry the run."
    ),
    FailureCode.REPOSITORY_BLOCKED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "The repository's owner must resolve the block with GitHub; then retry the run.",
    ),
    FailureCode.REPOSITORY_EMPTY: FailureKind(
        WhoActs.SUBMITTER, "Push a first commit to the repository, then retry the run."
    ),
    FailureCode.BASE_BRANCH_NOT_FOUND: FailureKind(
        WhoActs.SUBMITTER, "Submit again with a base_branch that exists in the repository."
    ),
    FailureCode.PUSH_NOT_PERMITTED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Give the token's account write access to the repository (contents and pull requests), then retry.",
    ),
    FailureCode.GITHUB_UNREACHABLE: FailureKind(
        WhoActs.OPERATOR,
        "Check GITHUB_API_URL, GITHUB_SERVER_URL, the network and githubstatus.com; then retry the run.",
    ),
    FailureCode.GITHUB_PROXY_FAILED: FailureKind(
        WhoActs.OPERATOR,
        "Check GITHUB_HTTPS_PROXY (address, user, password), GITHUB_NO_PROXY, and that the proxy allows GitHub's "
        "hosts; restart, and retry the run.",
    ),
    FailureCode.GITHUB_RATE_LIMITED: FailureKind(
        WhoActs.OPERATOR,
        "Find what uses up the rate limit of the token's account or of the GitHub App's installation. Without an App "
        "you can also set GITHUB_TOKEN to a token of another account and restart. Then retry the run.",
    ),
    FailureCode.IMAGE_MISSING: FailureKind(
        WhoActs.OPERATOR,
        "Build the job image with ./install.sh, or set SPEC_AUTOMATION_JOB_IMAGE; then retry.",
    ),
    FailureCode.CONTAINER_FAILED: FailureKind(
        WhoActs.OPERATOR,
        "Run `moonmind-appliance doctor`, read the Docker engine's log, then retry the run.",
    ),
    FailureCode.CLONE_FAILED: FailureKind(
        WhoActs.OPERATOR, "Read the git_clone phase's stderr artifact; then retry the run."
    ),
    FailureCode.GIT_TIMED_OUT: FailureKind(
        WhoActs.OPERATOR,
        "Check the network to GitHub and the repository's size; raise GIT_TIME_LIMIT and restart if it is too short. "
        "Then retry the run.",
    ),
    FailureCode.SKILL_MISSING: FailureKind(
        WhoActs.OPERATOR,
        "Retry the run: an earlier turn may have removed the skill. If the retry fails too, rebuild the job image.",
    ),
    FailureCode.SPEC_KIT_UNUSABLE: FailureKind(
        WhoActs.SUBMITTER,
        "Replace the link that the message names with a folder in the repository, or remove it; then submit again.",
    ),
    FailureCode.PLAN_WITHOUT_CODEX: FailureKind(
        WhoActs.OPERATOR,
        "This ChatGPT plan does not include Codex, or has no credits: sign in another account, then retry.",
    ),
    FailureCode.MODEL_UNAVAILABLE: FailureKind(
        WhoActs.OPERATOR,
        "Set CODEX_MODEL to a model that the account may use, or empty for Codex's default, and restart; then retry.",
    ),
    FailureCode.TEXT_FLAGGED: FailureKind(
        WhoActs.SUBMITTER, "Reword the specification so that it does not conflict with the policy; submit it again."
    ),
    FailureCode.CONTEXT_WINDOW_EXCEEDED: FailureKind(
        WhoActs.SUBMITTER, "Shorten the specification, or split it into several runs; then submit it again."
    ),
    FailureCode.AGENT_FAILED: FailureKind(
        WhoActs.OPERATOR, "Read the phase's stdout and stderr artifacts; then retry the run."
    ),
    FailureCode.AGENT_UNREACHABLE: FailureKind(
        WhoActs.OPERATOR,
        "Check that job containers reach the agent's service (AGENT_HTTPS_PROXY, EXTRA_CA_CERTS, JOB_NETWORK); "
        "then retry.",
    ),
    FailureCode.EGRESS_REFUSED: FailureKind(
        WhoActs.OPERATOR,
        "If the agent needs the host, add it to AGENT_EGRESS_ALLOW (with its port if its address is private), or fix "
        "its name resolution; then retry.",
    ),
    FailureCode.LOGIN_BROKER_FAILED: FailureKind(
        WhoActs.OPERATOR,
        "Follow the message. If it does not help, read the appliance's log, or set LOGIN_BROKER=false and restart. "
        "Then retry the run.",
    ),
    FailureCode.OPENAI_CHALLENGE: FailureKind(
        WhoActs.OPERATOR,
        "OpenAI's content network treats requests from this machine's address as those of a bot. Try again later, or "
        "use another address (AGENT_HTTPS_PROXY). The login is not the cause: do not sign in again.",
    ),
    FailureCode.AGENT_TIMED_OUT: FailureKind(
        WhoActs.SUBMITTER, "Shorten the specification, or ask the operator to raise PHASE_TIME_LIMIT; then retry."
    ),
    FailureCode.AGENT_SILENT: FailureKind(
        WhoActs.OPERATOR, "The agent stalled: retry the run; if it stalls again, raise PHASE_SILENCE_LIMIT."
    ),
    FailureCode.PHASE_OUTPUT_MISSING: FailureKind(
        WhoActs.SUBMITTER,
        "Read the agent's answer in the phase's artifacts, clarify the specification, and submit it again.",
    ),
    FailureCode.PHASE_OUTPUT_TOO_LARGE: FailureKind(
        WhoActs.SUBMITTER, "Reduce the specification's scope, or split it into several runs; then submit it again."
    ),
    FailureCode.TEMPLATE_LEFT: FailureKind(
        WhoActs.SUBMITTER, "The agent did not fill in the template: clarify the specification, or retry."
    ),
    FailureCode.TASKS_WITHOUT_IDS: FailureKind(
        WhoActs.SUBMITTER,
        "The task list contains no task ids: retry the run, or clarify the specification.",
    ),
    FailureCode.SECRET_IN_CHANGE: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Remove the secret from the specification or repository, rotate it, and submit again. If "
        "it is not a secret, ask the operator to add its SHA-256 hash to NOT_SECRET_SHA256.",
    ),
    FailureCode.CHANGE_TOO_LARGE: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Reduce the specification's scope, or ask the operator to raise MAX_CHANGE_BYTES.",
    ),
    FailureCode.WORKSPACE_TOO_LARGE: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Reduce the specification's scope, or ask the operator to raise MAX_WORKSPACE_BYTES.",
    ),
    FailureCode.COMMIT_FAILED: FailureKind(
        WhoActs.OPERATOR, "Read the commit_push phase's stderr artifact; then retry the run."
    ),
    FailureCode.PUSH_REJECTED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "Read GitHub's message, change the rule that rejects the branch, then retry the run.",
    ),
    FailureCode.PUSH_PROTECTION: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Remove the secret that GitHub's message names, rotate it, and submit again; if it is "
        "not a secret, allow it at the address in the message and retry the run.",
    ),
    FailureCode.FILE_TOO_LARGE: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Reduce the specification's scope so that the change does not contain the file; submit "
        "again.",
    ),
    FailureCode.AUTHOR_EMAIL_REFUSED: FailureKind(
        WhoActs.OPERATOR,
        "Set GIT_AUTHOR_EMAIL to an address that GitHub accepts, such as the account's noreply address, and restart; "
        "then retry the run.",
    ),
    FailureCode.WORKFLOW_SCOPE_MISSING: FailureKind(
        WhoActs.OPERATOR,
        "The change touches .github/workflows: give the token the workflow scope, then retry the run. A GitHub App's "
        "tokens cannot have it.",
    ),
    FailureCode.BRANCH_CONFLICT: FailureKind(
        WhoActs.SUBMITTER,
        "Delete or rename that branch on GitHub, or ask the operator to change BRANCH_PREFIX; then retry the run.",
    ),
    FailureCode.BASE_BRANCH_REWRITTEN: FailureKind(
        WhoActs.SUBMITTER,
        "Nothing was pushed. Retry the run: it starts again at the base branch's current commit.",
    ),
    FailureCode.PULL_REQUEST_REFUSED: FailureKind(
        WhoActs.GITHUB_ADMIN,
        "The branch is pushed. Read GitHub's message, fix the cause and retry, or open the pull request on GitHub.",
    ),
    FailureCode.OUT_OF_MEMORY: FailureKind(WhoActs.OPERATOR, "Raise CONTAINER_MEMORY, restart, and retry the run."),
    FailureCode.CUT_OFF_TOO_OFTEN: FailureKind(
        WhoActs.OPERATOR,
        "The appliance stopped several times during this run: find the cause, then retry.",
    ),
    FailureCode.INTERNAL_ERROR: FailureKind(
        WhoActs.OPERATOR,
        "This is a bug in the appliance: report it with the run id and the appliance's log.",
    ),
}


class Failure(msgspec.Struct, frozen=True):
    """Why a run or phase failed. `message` contains no secret; `retry_at` is UTC."""

    code: FailureCode
    who_acts: WhoActs
    message: str
    next_step: str
    retry_at: datetime | None = None


def failure(
    code: FailureCode, message: str, *, retry_at: datetime | None = None, who_acts: WhoActs | None = None
) -> Failure:
    """A failure of that code with the texts of `FAILURES`; pass `who_acts` only if it differs in this case."""
    kind = FAILURES[code]
    return Failure(code, who_acts or kind.who_acts, message, kind.next_step, retry_at)
