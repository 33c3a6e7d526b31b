"""How Codex's login checks are judged, and how its ways to sign in are started."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.models import ExecSpec, QuotaWindow
from moonmind_appliance.models.container_paths import API_KEY_FILE
from tests.in_container.sent import job_of, program_of

RESETS = 1_900_000_000


def answer(result: Any = None, error: Any = None) -> dict[str, Any]:
    return {"id": 2, "result": result} if error is None else {"id": 2, "error": error}


ACCOUNT = {"account": {"type": "chatgpt", "email": "a@example.org"}}
WINDOWS = {"rateLimits": {"primary": {"usedPercent": 12, "windowDurationMins": 300, "resetsAt": RESETS}}}


@pytest.mark.parametrize(
    ("rule", "printed", "alive", "refreshed"),
    [
        ("renewed", {"account": answer(ACCOUNT), "refreshed": True}, True, True),
        ("renewed, then cut off", {"account": {}, "refreshed": True}, True, True),
        ("good, but not renewed", {"account": answer(ACCOUNT), "refreshed": False}, True, False),
        ("refused", {"account": answer({"account": None}), "refreshed": False}, False, False),
        ("no network", {"account": answer(error={"code": -32603, "message": "no route"})}, None, False),
        ("ended early", {"problem": "ended"}, None, False),
    ],
)
def test_the_result_of_a_check(rule: str, printed: dict[str, Any], alive: bool | None, *, refreshed: bool) -> None:  # noqa: FBT001 - expected value
    """Alive, dead or unknown."""
    check = Codex().read_check(json.dumps(printed).encode())
    assert (check.alive, check.refreshed) == (alive, refreshed), rule


@pytest.mark.parametrize("printed", [b"", b"Killed\n", b"[]", b'"x"', b'{"account": 3, "limits": []}'])
def test_a_check_with_other_output_is_unknown(printed: bytes) -> None:
    """Neither dead nor alive."""
    assert Codex().read_check(printed).alive is None


def test_a_check_reports_the_windows() -> None:
    """Only for a login that works."""
    report = {"account": answer(ACCOUNT), "refreshed": False, "limits": {"id": 3, "result": WINDOWS}}
    assert Codex().read_check(json.dumps(report).encode()).quota == [
        QuotaWindow(12.0, 300, datetime.fromtimestamp(RESETS, UTC))
    ]
    report["limits"] = answer(error={"code": -32603})
    assert Codex().read_check(json.dumps(report).encode()).quota is None


@pytest.mark.parametrize(
    ("method", "flags", "file"),
    [
        (LoginMethod.DEVICE, ["--device-auth"], None),
        (LoginMethod.BROWSER, [], None),
        (LoginMethod.API_KEY, ["--with-api-key"], API_KEY_FILE),
    ],
)
def test_each_method_to_sign_in_has_its_flag(method: LoginMethod, flags: list[str], file: str | None) -> None:
    """Only an API key is read from a file; it is never an argument."""
    spec = ExecSpec(command=Codex().login_command(method))
    job = job_of(spec)
    assert program_of(spec) == "codex_login"
    assert job["command"][: 3 + len(flags)] == ["codex", "login", *flags, "-c"]
    assert job["api_key_file"] == file
