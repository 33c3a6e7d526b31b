"""How the Codex CLI signs in, out, and tells how its login is.

Commands and answers are those seen on 0.169.0.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from moonmind_appliance.agents.adapter import LoginWay
from moonmind_appliance.models import LoginCheck, QuotaWindow

CHECK_SECONDS = 40
API_KEY_FILE = "api-key"
# Where Codex listens for the browser's callback, inside its container and on the operator's machine.
CALLBACK_PORT = 1455

_QUIET = ('cli_auth_credentials_store="file"', "check_for_update_on_startup=false", "analytics.enabled=false")
_TRUST = (
    'if [ -f "$CODEX_HOME/extra-ca.pem" ]; then'
    ' cat /etc/ssl/certs/ca-certificates.crt "$CODEX_HOME/extra-ca.pem" > "$HOME/ca.pem";'
    ' rm "$CODEX_HOME/extra-ca.pem"; fi; '
)


def login_command(way: LoginWay) -> list[str]:
    """`codex login` that way, with the operator's certificate authorities where there are some."""
    quiet = _options(_QUIET)
    if way is LoginWay.API_KEY:
        script = (
            f'codex login --with-api-key {quiet} < "$CODEX_HOME/{API_KEY_FILE}"; code=$?;'
            f' rm -f "$CODEX_HOME/{API_KEY_FILE}"; exit $code'
        )
    else:
        script = f"exec codex login {'--device-auth ' if way is LoginWay.DEVICE else ''}{quiet}"
    return ["sh", "-c", _TRUST + script]


def logout_command() -> list[str]:
    """`codex logout`: revokes the login at OpenAI and removes the file; exit code 0 also where there was none."""
    return ["sh", "-c", f"{_TRUST}exec codex logout {_options(_QUIET)}"]


def check_command(config: Sequence[str]) -> list[str]:
    """Renews the login, and asks for the account and its usage windows, with that configuration."""
    script = resources.files(__package__).joinpath("codex_check.py").read_text(encoding="utf-8")
    command = ["python3", "-I", "-S", "-c", script, str(CHECK_SECONDS - 10)]
    return [*command, "codex", "app-server", *(word for entry in config for word in ("-c", entry))]


def _options(config: Sequence[str]) -> str:
    return " ".join(f"-c '{entry}'" for entry in config)


def read_check(printed: bytes) -> LoginCheck:
    """What the check printed, judged by its codes alone."""
    lines = printed.strip().splitlines()
    try:
        report = json.loads(lines[-1]) if lines else {}
    except ValueError:
        report = {}
    if not isinstance(report, dict):
        report = {}
    words = str(report.get("words") or report.get("problem") or "")
    answer = report.get("account")
    alive: bool | None = None
    refreshed = report.get("refreshed") is True
    if refreshed:
        alive = True
    elif isinstance(answer, dict) and isinstance(answer.get("result"), dict):
        alive = answer["result"].get("account") is not None
    elif isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        words = words or str(answer["error"].get("message") or "")
    return LoginCheck(
        alive=alive, refreshed=refreshed, words=words, quota=_windows(report.get("limits")) if alive else None
    )


def _windows(answer: Any) -> list[QuotaWindow] | None:  # noqa: ANN401 - whatever the JSON holds
    limits = answer.get("result", {}).get("rateLimits") if isinstance(answer, dict) else None
    if not isinstance(limits, dict):
        return None
    windows = []
    for name in ("primary", "secondary"):
        window = limits.get(name)
        if not isinstance(window, dict) or not isinstance(window.get("usedPercent"), int | float):
            continue
        resets, minutes = window.get("resetsAt"), window.get("windowDurationMins")
        windows.append(
            QuotaWindow(
                used_percent=float(window["usedPercent"]),
                window_minutes=minutes if isinstance(minutes, int) else None,
                resets_at=datetime.fromtimestamp(resets, UTC) if isinstance(resets, int | float) else None,
            )
        )
    return windows
