"""Accept a request: validate all of it, store the run durably, then wake a shard."""

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from moonmind_appliance.errors import FieldProblem, Forbidden, InvalidRequest, TooLarge, Unavailable
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.models.repository import REPOSITORY_RULE, is_repository
from moonmind_appliance.printable import invisible, is_blank
from moonmind_appliance.redaction import Finding, Redactor
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.disk import least_to_accept, low_disk
from moonmind_appliance.scheduling.wake import NewRun
from moonmind_appliance.settings import Settings
from moonmind_appliance.store.admission import SubmissionLimits
from moonmind_appliance.units import size

MAX_SPECIFY_BYTES = 256 * 1024
MAX_EXTERNAL_REF = 255
MAX_BRANCH_BYTES = 244
MAX_IDEMPOTENCY_KEY = 255

# Rules for branch names: https://git-scm.com/docs/git-check-ref-format
_BRANCH_REFUSALS = (
    (re.compile(r"\A-"), "starts with a dash"),
    (re.compile(r"\A(?:HEAD|@)\Z"), "is a name that Git reserves"),
    (re.compile(r"[\x00-\x20\x7f~^:?*\[\\]"), "contains a space, a control character or one of ~ ^ : ? * [ \\"),
    (re.compile(r"\.\.|@\{|//"), "contains .. or @{ or //"),
    (re.compile(r"\A/|/\Z|\.\Z"), "starts or ends with a slash, or ends with a dot"),
    (re.compile(r"(?:\A|/)\.|\.lock(?:/|\Z)"), "has a part that starts with a dot or ends with .lock"),
)
KEY_PATTERN = r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"
_KEY = re.compile(KEY_PATTERN)

_DISK_RETRY_SECONDS = 60
_DRAINING_RETRY_SECONDS = 30
# How many secrets a message names; it counts the others.
_MOST_NAMED = 5


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A caller's request: a specification text and the repository that it is for."""

    repository: Annotated[
        str,
        msgspec.Meta(description="The GitHub repository, as owner/name.", examples=["MoonLadderStudios/moonmind"]),
    ]
    specify_text: Annotated[
        str,
        msgspec.Meta(
            description=(
                "The text passed to /speckit.specify, unchanged: Markdown, YAML, JSON or plain text. Not "
                "blank, no NUL characters, at most 256 KiB of UTF-8."
            ),
            examples=["# Dark mode\n\n- Goal: people can switch the site to dark colours"],
        ),
    ]
    base_branch: Annotated[
        str, msgspec.Meta(description="The branch to start from, and the base of the pull request.", examples=["main"])
    ] = "main"
    dry_run: Annotated[
        bool, msgspec.Meta(description="Do everything up to the commit; push nothing, open no pull request.")
    ] = False
    external_ref: Annotated[
        str | None,
        msgspec.Meta(
            description=(
                "The caller's own reference, to find the run later; need not be unique. At most 255 characters."
            ),
            examples=["postman-demo-001"],
        ),
    ] = None
    shard: Annotated[
        int | None,
        msgspec.Meta(description="Run on this shard only. Without it, any free shard runs it.", examples=[0]),
    ] = None


def submit_run(
    resources: Resources, actor: Actor, request: SubmitRequest, *, idempotency_key: str | None = None
) -> Run:
    """Store a new queued run, which survives a crash once this returns, and wake a shard.

    Idempotent with an `idempotency_key` (1 to 255 printable ASCII characters): the same actor, key and request return
    the first run. A failure to wake a shard does not fail the request.

    Raises:
        InvalidRequest: lists every invalid field.
        TooLarge: `specify_text` is over 256 KiB; also lists the problems of other fields.
        Forbidden: `repository_not_allowed`.
        Conflict: `idempotency_key_reused`.
        TooMany: `too_many_submissions`, `too_many_queued_runs` or `queue_full`; a repeat is not counted.
        Unavailable: `disk_blocked` or `draining`.
        StoreError: nothing was stored.
    """
    settings = resources.settings
    refuse_when_stopping(resources)
    check(request, settings, resources.redactor, idempotency_key=idempotency_key)
    check_repository_allowed(request.repository, settings)
    _refuse_when_disk_is_full(resources)
    run = Run(
        run_id=str(uuid.uuid4()),
        repository=request.repository,
        specify_text=request.specify_text,
        accepted_at=resources.clock(),
        created_by=actor,
        base_branch=request.base_branch,
        dry_run=request.dry_run or settings.spec_workflow_test_mode,
        external_ref=request.external_ref,
        shard_pin=request.shard,
    )
    new = NewRun(resources, request.shard)
    idempotency = None if idempotency_key is None else _idempotency(actor, idempotency_key, request)
    kept = resources.store.runs.insert(
        run, idempotency=idempotency, limits=limits_of(settings), why_waits=new.why_waits
    )
    if kept.run_id == run.run_id:
        new.wake(kept)
    return kept


def limits_of(settings: Settings) -> SubmissionLimits:
    """The limits that the settings set."""
    return SubmissionLimits(
        settings.max_submissions_per_minute, settings.max_queued_runs_per_user, settings.max_queued_runs
    )


def refuse_when_stopping(resources: Resources) -> None:
    """Refuse new work if the appliance is shutting down.

    Raises:
        Unavailable: `draining`.
    """
    if resources.stopping.is_set():
        raise Unavailable(
            "The appliance is stopping and accepts no work.",
            hint="Send the request again after it has restarted.",
            code="draining",
            retry_after=_DRAINING_RETRY_SECONDS,
        )


def check(
    request: SubmitRequest, settings: Settings, redactor: Redactor, *, idempotency_key: str | None = None
) -> None:
    """Validate every field.

    Raises:
        InvalidRequest: lists all problems.
        TooLarge: the same, if `specify_text` is too large.
    """
    fields = msgspec.structs.asdict(request)
    if problems := field_problems(fields, settings, redactor, idempotency_key=idempotency_key):
        raise refusal(problems, fields)


def field_problems(
    fields: Mapping[str, Any], settings: Settings, redactor: Redactor, *, idempotency_key: str | None = None
) -> list[FieldProblem]:
    """What is wrong with the given fields of a `SubmitRequest`, which have the right types; others may be missing."""
    checks: dict[str, Callable[[Any], list[FieldProblem]]] = {
        "repository": _repository_problems,
        "specify_text": _text_problems,
        "base_branch": _branch_problems,
        "external_ref": _reference_problems,
        "shard": lambda shard: _shard_problems(shard, settings.codex_shards),
    }
    problems = [problem for name, check in checks.items() if name in fields for problem in check(fields[name])]
    return [*problems, *_secret_problems(fields, settings, redactor), *_key_problems(idempotency_key)]


def refusal(problems: Sequence[FieldProblem], fields: Mapping[str, Any]) -> InvalidRequest | TooLarge:
    """The error that lists the problems: `TooLarge` if the text among the fields is."""
    if _size(fields.get("specify_text", "")) > MAX_SPECIFY_BYTES:
        return TooLarge(
            f"specify_text may have at most {MAX_SPECIFY_BYTES} bytes of UTF-8.",
            hint="Shorten the specification, or split it into several runs.",
            fields=problems,
        )
    return InvalidRequest("The request is not valid.", hint="`errors` lists what to change.", fields=problems)


def check_repository_allowed(repository: str, settings: Settings) -> None:
    """Refuse a repository that is not in the settings' list; an empty list allows all.

    Raises:
        Forbidden: `repository_not_allowed`.
    """
    if settings.allowed_repositories and repository.lower() not in settings.allowed_repositories:
        raise Forbidden(
            f"This appliance is not configured for {repository}.",
            hint="Ask the operator to add it to SPEC_WORKFLOW_GITHUB_REPOSITORY.",
            code="repository_not_allowed",
        )


def branch_refusal(name: str) -> str | None:
    """Why Git does not accept the branch name; None if it does."""
    if not name:
        return "is empty"
    for refused, why in _BRANCH_REFUSALS:
        if refused.search(name):
            return why
    if _size(name) > MAX_BRANCH_BYTES:
        return f"has more than {MAX_BRANCH_BYTES} bytes"
    return None


def _repository_problems(repository: str) -> list[FieldProblem]:
    if is_repository(repository):
        return []
    return [FieldProblem("repository", f"Not a valid GitHub repository. Send {REPOSITORY_RULE}")]


def _text_problems(text: str) -> list[FieldProblem]:
    problems = []
    if is_blank(text):
        problems.append(FieldProblem("specify_text", "Must not be blank: it has no visible character."))
    if (nul := text.find("\x00")) >= 0:
        problems.append(FieldProblem("specify_text", f"Contains a NUL character at offset {nul}: remove it."))
    if (size := _size(text)) > MAX_SPECIFY_BYTES:
        problems.append(FieldProblem("specify_text", f"Has {size} bytes of UTF-8; the limit is {MAX_SPECIFY_BYTES}."))
    return problems + _unicode_problems("specify_text", text)


def _branch_problems(branch: str) -> list[FieldProblem]:
    if why := branch_refusal(branch):
        return [FieldProblem("base_branch", f"Not a valid Git branch name: it {why}.")]
    return _visible_problems("base_branch", branch)


def _reference_problems(reference: str | None) -> list[FieldProblem]:
    if reference is None:
        return []
    problems = []
    if len(reference) > MAX_EXTERNAL_REF:
        problems.append(
            FieldProblem("external_ref", f"Has {len(reference)} characters; the limit is {MAX_EXTERNAL_REF}.")
        )
    return problems + _visible_problems("external_ref", reference)


def _shard_problems(shard: int | None, count: int) -> list[FieldProblem]:
    if shard is None or 0 <= shard < count:
        return []
    return [FieldProblem("shard", f"Shard {shard} does not exist: send 0 to {count - 1}, or omit the field.")]


def _secret_problems(fields: Mapping[str, Any], settings: Settings, redactor: Redactor) -> list[FieldProblem]:
    problems = []
    for field, text in fields.items():
        if isinstance(text, str):
            data = text.encode(errors="surrogatepass")
            if findings := redactor.find(data, settings.not_secret_sha256):
                problems.append(FieldProblem(field, _secret_message(data, findings)))
    return problems


def _secret_message(data: bytes, findings: Sequence[Finding]) -> str:
    where = "; ".join(_position(data, finding) for finding in findings[:_MOST_NAMED])
    if more := len(findings) - _MOST_NAMED:
        where += f"; and {more} more" if more > 0 else ""
    message = (
        f"Contains a secret: {where}. Nothing was stored. Remove and rotate it, because it was sent over the network."
    )
    if any(finding.sha256 for finding in findings):
        message += " If it is not a secret, the operator can add its hash to NOT_SECRET_SHA256."
    return message


def _position(data: bytes, finding: Finding) -> str:
    line = data.count(b"\n", 0, finding.offset) + 1
    sha256 = f" (SHA-256 {finding.sha256})" if finding.sha256 else ""
    return f"{finding.kind} in line {line}, byte {finding.offset}{sha256}"


def _key_problems(key: str | None) -> list[FieldProblem]:
    if key is None or (len(key) <= MAX_IDEMPOTENCY_KEY and _KEY.fullmatch(key)):
        return []
    return [FieldProblem("Idempotency-Key", f"Must be 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters.")]


def _unicode_problems(field: str, text: str) -> list[FieldProblem]:
    try:
        text.encode()
    except UnicodeEncodeError:
        # An unpaired surrogate has no UTF-8 form: neither SQLite nor Git can store it.
        return [FieldProblem(field, "Contains an unpaired surrogate: send complete Unicode characters.")]
    return []


def _visible_problems(field: str, text: str) -> list[FieldProblem]:
    """Names appear in terminals, logs and the pull request, where invisible characters would disguise them."""
    if found := invisible(text):
        return [FieldProblem(field, f"Contains {found}. Only visible characters are allowed in names.")]
    return []


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _refuse_when_disk_is_full(resources: Resources) -> None:
    least = least_to_accept(resources.settings)
    disk = low_disk(resources, least, with_engine=False)
    if disk is not None:
        raise Unavailable(
            f"The disk of {disk.what} has {size(disk.free)} free; a new run needs at least {size(least)}.",
            hint="The operator must free space there, or lower MIN_FREE_DISK.",
            code="disk_blocked",
            retry_after=_DISK_RETRY_SECONDS,
        )


def _idempotency(actor: Actor, key: str, request: SubmitRequest) -> tuple[str, str]:
    """The key, scoped to the subject, and a digest of the decoded request, so that JSON formatting is ignored."""
    scoped = hashlib.sha256(msgspec.json.encode([actor.subject, key])).hexdigest()
    return scoped, hashlib.sha256(msgspec.json.encode(request)).hexdigest()
