"""What the login broker of a run reports: the lines that it prints, and what they prove about the login and its limits.

The broker is in a container without an agent, but it parses what OpenAI and the agent send, so every value is checked.
Headers, bodies and error types are those of Codex 0.169.0's service.
"""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from moonmind_appliance.agents.adapter import BrokeredLogin
from moonmind_appliance.agents.codex_logins import check_of
from moonmind_appliance.agents.codex_reader import who_must_act
from moonmind_appliance.agents.untrusted import (
    Unreadable,
    as_code,
    as_count,
    as_number,
    as_object,
    as_text,
    as_time,
    as_window,
    read_json,
)
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.models import AgentVerdict, LoginCheck, QuotaWindow, TurnOutcome

LONGEST_LINE = 512 * 1024
"""Most bytes of a line: the largest login, or 16 KiB of a body with each byte escaped, with space to spare."""

_MOST_EVENTS = 256
_LONGEST_BODY = 16 * 1024
_LONGEST_NUMBER, _LONGEST_PROBLEM, _LONGEST_PATH = 24, 500, 64
_LONGEST_AUTHORITY = 16 * 1024
_USED_UP = 100.0
_LONGEST_RESET = 366 * 24 * 3600
_MODEL_PATHS = frozenset({"codex/responses", "codex/responses/compact"})
_UNAUTHORIZED, _TOO_MANY = 401, 429
# Only the broker knows these facts in this mode: the agent's container could report anything.
_OF_THE_LOGIN = frozenset({AgentVerdict.QUOTA, AgentVerdict.PLAN_WITHOUT_CODEX, AgentVerdict.LOGIN_DEAD})


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of OpenAI that is not 2xx. `code` is the error's machine code, `resets_at` the end of a limit."""

    path: str
    status: int
    code: str = ""
    reached: str = ""
    resets_at: datetime | None = None
    windows: list[QuotaWindow] = []
    challenge: bool = False

    @property
    def is_limit(self) -> bool:
        """Whether a usage window is used up, which resolves by itself."""
        return self._is_used_up and not self.reached.startswith("workspace_")

    @property
    def is_refused_account(self) -> bool:
        """Whether the account has a limit that does not reset by itself."""
        if self._is_used_up:
            return self.reached.startswith("workspace_")
        return self.status == _TOO_MANY and self.code == "usage_not_included"

    @property
    def _is_used_up(self) -> bool:
        # The agent can ask for a compressed body, which is not read. Then the windows in the headers decide.
        by_windows = not self.code and any(each.used_percent >= _USED_UP for each in self.windows)
        return self.status == _TOO_MANY and (self.code == "usage_limit_reached" or by_windows)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Usage windows of an answer that is 2xx. `by_model`: it was an answer of the model, so no limit is reached."""

    windows: list[QuotaWindow]
    by_model: bool


class Renewed(msgspec.Struct, frozen=True):
    """The broker tried to renew the login."""

    check: LoginCheck


Event = Refusal | Served | Renewed


class _Numbered(NamedTuple):
    number: int
    event: Event


class CodexBroker:
    """Takes the broker's lines; a `BrokerReader`. Thread-safe."""

    longest_line = LONGEST_LINE

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[_Numbered] = deque(maxlen=_MOST_EVENTS)
        self._count = 0
        self._windows: list[QuotaWindow] = []
        self._login: BrokeredLogin | None = None
        self._problem = ""

    def take(self, line: bytes) -> None:
        """Process one line; lines of the wall, and lines that cannot be read, have no effect."""
        try:
            said = as_object(read_json(line, limit=LONGEST_LINE))
        except Unreadable:
            return
        with self._lock:
            if said.get("ready") is True:
                self._login = self._login or _brokered_login(as_object(said.get("broker")))
            if not self._problem:
                self._problem = as_text(said.get("broker_problem"), longest=_LONGEST_PROBLEM)
            event = _event(said)
            if event is None:
                return
            if not isinstance(event, Renewed) and event.windows:
                self._windows = event.windows
            self._count += 1
            self._events.append(_Numbered(self._count, event))

    @property
    def login(self) -> BrokeredLogin | None:
        """The login for the agent's container; None until the broker is ready, or if it made none."""
        with self._lock:
            return self._login

    @property
    def problem(self) -> str:
        """Why the broker could not start; "" if it did not say so."""
        with self._lock:
            return self._problem

    def position(self) -> int:
        """The number of events so far, for `since`."""
        with self._lock:
            return self._count

    def checks(self, since: int) -> list[LoginCheck]:
        """The attempts to renew the login after that position, in their order."""
        return [event.check for event in self._after(since) if isinstance(event, Renewed)]

    def refusals(self) -> list[str]:
        """The answers that were not 2xx, for display: path and status, each once."""
        found = (event for event in self._after(0) if isinstance(event, Refusal))
        shown = (f"{each.path}: HTTP {each.status}{' (a challenge)' if each.challenge else ''}" for each in found)
        return list(dict.fromkeys(shown))

    def outcome(self, reported: TurnOutcome, since: int) -> TurnOutcome:
        """How the turn went that began at that position: `reported` by the agent's container, corrected."""
        events = self._after(since)
        with self._lock:
            windows = list(self._windows)
        known = _known(events)
        limit, verdict = known.limit, _verdict(known, reported.verdict)
        refused = verdict is AgentVerdict.PLAN_WITHOUT_CODEX
        reached = known.refusal.reached if known.refusal is not None else ""
        return msgspec.structs.replace(
            reported,
            verdict=verdict,
            quota=windows,
            resets_at=None if limit is None else limit.resets_at or _used_until(limit.windows or windows),
            limit=reached or "usage_not_included" if refused else None,
            advice=who_must_act(reached) if refused else "",
            limit_reached=limit is not None,
            login_doubtful=known.is_doubtful and verdict is not AgentVerdict.COMPLETED,
            confirmed=True,
        )

    def _after(self, since: int) -> list[Event]:
        with self._lock:
            return [each.event for each in self._events if each.number > since]


class _Known(NamedTuple):
    """What a turn's events leave open: the last answer that was not followed by a better one, and the last check."""

    refusal: Refusal | None
    check: LoginCheck | None

    @property
    def limit(self) -> Refusal | None:
        """The limit that is reached."""
        return self.refusal if self.refusal is not None and self.refusal.is_limit else None

    @property
    def is_doubtful(self) -> bool:
        """Whether the login was refused, and the broker did not try to renew it."""
        return self.refusal is not None and self.refusal.status == _UNAUTHORIZED and self.check is None


def _known(events: list[Event]) -> _Known:
    refusal: Refusal | None = None
    last_check: LoginCheck | None = None
    for event in events:
        match event:
            case Served(by_model=True):
                refusal = None
            case Renewed(check=check):
                last_check = check
                if check.alive and refusal is not None and refusal.status == _UNAUTHORIZED:
                    refusal = None
            case Refusal() if event.path in _MODEL_PATHS or refusal is None or refusal.path not in _MODEL_PATHS:
                refusal = event
    return _Known(refusal, last_check)


def _verdict(known: _Known, reported: AgentVerdict) -> AgentVerdict:
    if reported is AgentVerdict.COMPLETED:
        return reported
    proved = AgentVerdict.LOGIN_DEAD if known.check is not None and known.check.alive is False else None
    if proved is None and known.refusal is not None:
        proved = _proved_by(known.refusal, known.check)
    if proved is None:
        return AgentVerdict.FAILED if reported in _OF_THE_LOGIN else reported
    return proved


def _proved_by(refusal: Refusal, check: LoginCheck | None) -> AgentVerdict | None:
    """What that answer proves; None if it says nothing about the login or a limit."""
    if refusal.is_limit:
        return AgentVerdict.QUOTA
    if refusal.is_refused_account:
        return AgentVerdict.PLAN_WITHOUT_CODEX
    if refusal.status == _UNAUTHORIZED:
        # Only a refused renewal proves that a login is dead: OpenAI may refuse one request, also because of what the
        # agent sent. Without an answer to the renewal, nothing is known.
        return AgentVerdict.UNREACHABLE if check is not None and check.alive is None else None
    return AgentVerdict.CHALLENGED if refusal.challenge else None


def _used_until(windows: list[QuotaWindow]) -> datetime | None:
    resets = [each.resets_at for each in windows if each.used_percent >= _USED_UP and each.resets_at is not None]
    return max(resets, default=None)


def _brokered_login(said: Mapping[str, Any]) -> BrokeredLogin | None:
    login, authority = said.get("login"), said.get("ca")
    if not isinstance(login, str) or not isinstance(authority, str):
        return None
    if not authority.isascii() or not 0 < len(authority) <= _LONGEST_AUTHORITY:
        return None
    content = login.encode(errors="replace")
    return BrokeredLogin(content, authority.encode()) if 0 < len(content) <= LOGIN_FILE_LIMIT else None


def _event(said: Mapping[str, Any]) -> Event | None:
    match said.get("broker"):
        case "answer":
            return _refusal(said)
        case "quota":
            return Served(windows=header_windows(said.get("headers")), by_model=True)
        case "usage":
            return Served(windows=usage_windows(said.get("body")), by_model=False)
        case "renewed":
            return Renewed(check_of(as_object(said.get("report"))))
    return None


def _refusal(said: Mapping[str, Any]) -> Refusal | None:
    status = as_count(said.get("status"), lowest=100, highest=599)
    if status is None or said.get("renewed") is True:
        # With a login that was renewed since: the agent repeats the request.
        return None
    error = as_object(_body(said.get("body")).get("error"))
    return Refusal(
        path=as_text(said.get("path"), longest=_LONGEST_PATH),
        status=status,
        code=as_code(error.get("type")) or as_code(error.get("code")),
        reached=as_code(_headers(said.get("headers")).get("x-codex-rate-limit-reached-type")),
        resets_at=_reset(error, as_time(said.get("at"))),
        windows=header_windows(said.get("headers")),
        challenge=said.get("challenge") is True,
    )


def _reset(error: Mapping[str, Any], at: datetime | None) -> datetime | None:
    """The end of a limit by the body of a 429: an exact time, or seconds from the answer on."""
    if (exact := as_time(error.get("resets_at"))) is not None:
        return exact
    seconds = as_number(error.get("resets_in_seconds"), lowest=0, highest=_LONGEST_RESET)
    return None if seconds is None or at is None else at + timedelta(seconds=seconds)


def header_windows(headers: object) -> list[QuotaWindow]:
    """The usage windows in the headers `x-codex-primary-…` and `x-codex-secondary-…`."""
    given = _headers(headers)
    found = (
        as_window(
            _number(given.get(f"x-codex-{name}-used-percent")),
            _whole(given.get(f"x-codex-{name}-window-minutes")),
            _number(given.get(f"x-codex-{name}-reset-at")),
        )
        for name in ("primary", "secondary")
    )
    return [window for window in found if window is not None]


def usage_windows(body: object) -> list[QuotaWindow]:
    """The usage windows in an answer of `wham/usage`."""
    limits = as_object(_body(body).get("rate_limit"))
    found = []
    for name in ("primary_window", "secondary_window"):
        window = as_object(limits.get(name))
        seconds = as_count(window.get("limit_window_seconds"))
        minutes = None if seconds is None else max(1, seconds // 60)
        found.append(as_window(window.get("used_percent"), minutes, window.get("reset_at")))
    return [window for window in found if window is not None]


def _body(body: object) -> dict[str, Any]:
    text = body if isinstance(body, str) else ""
    try:
        return as_object(read_json(text.encode(errors="replace"), limit=_LONGEST_BODY))
    except Unreadable:
        return {}


def _headers(headers: object) -> dict[str, str]:
    return {name.lower(): value for name, value in as_object(headers).items() if isinstance(value, str)}


def _number(text: str | None) -> float | None:
    """A header's number; None for anything else."""
    if text is None or len(text) > _LONGEST_NUMBER or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None and number.is_integer() else None
