"""Checks the fields of the new-run form by the rules of the REST API. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from moonmind_appliance.errors import Forbidden, InvalidRequest, TooLarge
from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.runs.submit import MAX_SPECIFY_BYTES, SubmitRequest, check, check_repository_allowed
from moonmind_appliance.settings import Settings
from tui.drafts import Draft

FIELDS = ("repository", "base_branch", "external_ref", "shard", "dry_run", "specify_text")


class Checked(NamedTuple):
    """`problems` by the field's name, the first problem of each; `secret`: a field contains one: do not save."""

    problems: dict[str, str]
    secret: bool


def request_of(draft: Draft) -> SubmitRequest:
    """The request to submit. Blanks around names are typing errors and removed; the text is not changed."""
    return SubmitRequest(
        repository=draft.repository.strip(),
        specify_text=draft.specify_text,
        base_branch=draft.base_branch.strip(),
        dry_run=draft.dry_run,
        external_ref=draft.external_ref.strip() or None,
        shard=draft.shard,
    )


def check_draft(draft: Draft, settings: Settings, redactor: Redactor) -> Checked:
    """Check every field as `submit_run` does. Takes milliseconds for a text of 256 KiB: not in the event loop."""
    request = request_of(draft)
    problems: dict[str, str] = {}
    try:
        check(request, settings, redactor)
    except (InvalidRequest, TooLarge) as error:
        for problem in error.fields:
            problems.setdefault(problem.field, problem.message)
    if "repository" not in problems:
        try:
            check_repository_allowed(request.repository, settings)
        except Forbidden as error:
            problems["repository"] = error.message
    texts = (draft.repository, draft.specify_text, draft.base_branch, draft.external_ref)
    secret = any(redactor.find(text.encode(errors="surrogatepass"), settings.not_secret_sha256) for text in texts)
    return Checked(problems, secret)


def size_text(text: str) -> str:
    """The size of the specification and its limit: `4,120 of 262,144 bytes`."""
    return f"{len(text.encode(errors='surrogatepass')):,} of {MAX_SPECIFY_BYTES:,} bytes"


def shard_choices(shards: Sequence[Shard]) -> list[tuple[int | None, str]]:
    """The values of the field, each with the state of the shard."""
    return [(None, "any"), *((shard.shard, f"{shard.shard}  {_account(shard)}") for shard in shards)]


def _account(shard: Shard) -> str:
    if shard.login is LoginState.PRESENT:
        return "API key" if shard.by_api_key else shard.account_email or "signed in"
    texts = {
        LoginState.ABSENT: "no login: the run waits for one",
        LoginState.DEAD: "dead login: the run waits for a new one",
        LoginState.REFUSED: "refused account: the run waits",
    }
    return texts.get(shard.login, "login not checked yet")
