"""Prints what OpenAI's answers show about the account, as lines of JSON: quota, limits, problems of the login."""

import json
import time
from collections.abc import Callable
from typing import Any

from moonmind_appliance.in_container.broker_request import USAGE, Headers

BODY_KEPT = 16 * 1024
_MOST_HEADERS, _LONGEST_VALUE = 40, 256
_SAME_SECONDS = 1.0
_OK, _REDIRECT, _FORBIDDEN = 200, 300, 403


class Answer:
    """An answer of OpenAI. `is_kept`: the beginning of its body is reported."""

    def __init__(self, path: str, status: int, headers: Headers) -> None:
        self.path, self.status = path, status
        lowered = [(name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        self.quota = {name: value[:_LONGEST_VALUE] for name, value in lowered if name.startswith("x-codex-")}
        self.quota = dict(list(self.quota.items())[:_MOST_HEADERS])
        self.challenge = status == _FORBIDDEN and any(name == "cf-mitigated" for name, _ in lowered)
        # Whether the real login has been renewed since the request: a repetition may work.
        self.renewed = False
        self.is_good = _OK <= status < _REDIRECT
        self.is_kept = not self.is_good or (status == _OK and path == USAGE)
        self.body = b""

    def add(self, data: bytes) -> bool:
        """Take a part of the body. Whether more of it would be kept."""
        self.body += data[: BODY_KEPT - len(self.body)]
        return len(self.body) < BODY_KEPT


class Report:
    """Prints the lines. Answers of one path and status are printed at most once a second."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._last_at: dict[tuple[str, int, bool], float] = {}
        self._quota: dict[str, str] = {}

    def begins(self, answer: Answer) -> None:
        """Report the quota at the beginning of an answer, whose end may be minutes away."""
        if answer.is_good and answer.quota and answer.quota != self._quota:
            self._quota = answer.quota
            self._print("quota", headers=answer.quota)

    def ends(self, answer: Answer) -> None:
        """Report an answer of which the beginning is kept."""
        key, now = (answer.path, answer.status, answer.renewed), self._clock()
        if 0 <= now - self._last_at.get(key, 0.0) < _SAME_SECONDS:
            return
        self._last_at[key] = now
        body = answer.body.decode(errors="replace")
        if answer.is_good:
            self._print("usage", body=body)
            return
        more = {name: True for name in ("challenge", "renewed") if getattr(answer, name)}
        # The next quota is printed even if it is the same: it shows that the account works again.
        self._quota = {}
        self._print("answer", path=answer.path, status=answer.status, headers=answer.quota, body=body, **more)

    def renewing(self) -> None:
        """Report that a renewal begins; `renewed` follows."""
        self._print("renewing")

    def renewed(self, report: dict[str, Any]) -> None:
        """Report a renewal of the login by `codex_check`."""
        self._print("renewed", report=report)

    def _print(self, kind: str, **fields: object) -> None:
        self._write(json.dumps({"broker": kind, "at": round(self._clock(), 3), **fields}) + "\n")
