"""Commands by which the Codex CLI signs in and out and checks its login.

Commands and outputs are those seen on 0.169.0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moonmind_appliance.agents.adapter import BrowserCallback, LoginMethod, ServiceAnswers
from moonmind_appliance.agents.untrusted import Unreadable, as_count, as_object, as_text, as_window, read_json
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import LoginCheck, QuotaWindow
from moonmind_appliance.models.container_paths import API_KEY_FILE, LOGIN_CA_FILE

CHECK_SECONDS = 40
_ANSWERS_SECONDS = 10
# Where `codex login` listens for the browser, inside its container and on the operator's machine.
BROWSER_CALLBACK = BrowserCallback(1455, ("/auth/callback", "/success", "/cancel"))

# The server for the login's tokens, set to Codex's default: a `config.toml` in its folder could name another server.
OPENAI_BACKEND = 'chatgpt_base_url="https://chatgpt.com/backend-api/"'

_LARGEST_CHECK = 1024 * 1024
_LONGEST_MESSAGE = 2000
_QUIET = (
    'cli_auth_credentials_store="file"',
    "check_for_update_on_startup=false",
    "analytics.enabled=false",
    OPENAI_BACKEND,
)


def login_command(method: LoginMethod) -> list[str]:
    """`codex login` in the given method, with the operator's certificate authorities if there are any.

    It revokes and deletes the stored login before it asks for a code: call it with an empty login folder.
    """
    flags = {
        LoginMethod.DEVICE: ["--device-auth"],
        LoginMethod.BROWSER: [],
        LoginMethod.API_KEY: ["--with-api-key"],
    }[method]
    job = {
        "command": ["codex", "login", *flags, *options(_QUIET)],
        "extra_ca": LOGIN_CA_FILE,
        "api_key_file": API_KEY_FILE if method is LoginMethod.API_KEY else None,
    }
    return command("codex_login", job)


def logout_command() -> list[str]:
    """`codex logout`: revokes the login at OpenAI and removes the file; exit code 0 even if there was none."""
    return command("codex_logout", {"command": ["codex", "logout", *options(_QUIET)]})


def check_command(config: Sequence[str]) -> list[str]:
    """The command that renews the login and reports the account and its usage windows, with that configuration."""
    return command("codex_check", check_job(config))


def check_job(config: Sequence[str]) -> dict[str, Any]:
    """The job of `codex_check`: Codex's app server with that configuration, and how many seconds it may take."""
    return {"command": ["codex", "app-server", *options(config)], "seconds": CHECK_SECONDS - 10}


def answers_command(config: Sequence[str], login: str | None) -> list[str]:
    """The command that reports the usage windows and the models that OpenAI answers.

    `login` is the file of a login broker's login; None if the container has the shard's login.
    """
    job = check_job(config)
    listing = ["codex", "debug", "models", *options(config)]
    seconds = _ANSWERS_SECONDS
    return command("codex_answers", {"server": job["command"], "models": listing, "seconds": seconds, "login": login})


def read_answers(printed: bytes) -> ServiceAnswers:
    """Parse what `answers_command` printed."""
    lines = printed.strip().splitlines()
    try:
        said = as_object(read_json(lines[-1], limit=_LARGEST_CHECK)) if lines else {}
    except Unreadable:
        said = {}
    usage, listed = as_object(said.get("usage")), as_object(said.get("models"))
    error = as_text(as_object(usage.get("error")).get("message"), longest=_LONGEST_MESSAGE)
    return ServiceAnswers(
        quota=_windows(usage),
        quota_problem=error or "no answer",
        models=as_count(listed.get("count")),
        models_digest=as_text(listed.get("digest"), longest=64),
        models_problem=as_text(listed.get("error"), longest=_LONGEST_MESSAGE) or "no answer",
        models_contained=listed == as_object(said.get("contained")),
    )


def options(config: Iterable[str]) -> list[str]:
    """Codex's options for these entries of its configuration."""
    return [argument for entry in config for argument in ("-c", entry)]


def read_check(printed: bytes) -> LoginCheck:
    """Parse the check's output; only its codes decide."""
    lines = printed.strip().splitlines()
    try:
        report = as_object(read_json(lines[-1], limit=_LARGEST_CHECK)) if lines else {}
    except Unreadable:
        report = {}
    return check_of(report)


def check_of(report: Mapping[str, Any]) -> LoginCheck:
    """The result of a check, from the object that it reports."""
    message = as_text(report.get("refresh_error") or report.get("problem"), longest=_LONGEST_MESSAGE)
    answer = as_object(report.get("account"))
    alive: bool | None = None
    refreshed = report.get("refreshed") is True
    if refreshed:
        alive = True
    elif isinstance(answer.get("result"), dict):
        alive = answer["result"].get("account") is not None
    elif isinstance(answer.get("error"), dict):
        message = message or as_text(answer["error"].get("message"), longest=_LONGEST_MESSAGE)
    return LoginCheck(
        alive=alive, refreshed=refreshed, words=message, quota=_windows(report.get("limits")) if alive else None
    )


def _windows(answer: Any) -> list[QuotaWindow] | None:  # noqa: ANN401 - any JSON value
    limits = as_object(as_object(answer).get("result")).get("rateLimits")
    if not isinstance(limits, dict):
        return None
    windows = (as_object(limits.get(name)) for name in ("primary", "secondary"))
    found = (as_window(w.get("usedPercent"), w.get("windowDurationMins"), w.get("resetsAt")) for w in windows)
    return [window for window in found if window is not None]
