"""An agent's results: its version, how a turn ended, and its remaining quota."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class AgentInfo(msgspec.Struct, frozen=True):
    """The agent and its versions, recorded with the run."""

    backend: str
    version: str
    prompt_pack_version: str


class QuotaWindow(msgspec.Struct, frozen=True):
    """One usage window as the agent reported it: percent used, length in minutes, reset time (UTC).

    The bounds are checked when one is read from JSON, and before a shard's state is stored.
    """

    used_percent: Annotated[float, Meta(ge=0, le=1000)]
    window_minutes: Annotated[int, Meta(ge=1, le=527_040)] | None = None
    resets_at: datetime | None = None


class AgentVerdict(StrEnum):
    """How a turn ended, in the appliance's terms."""

    COMPLETED = "completed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    QUOTA = "quota"
    PLAN_WITHOUT_CODEX = "plan_without_codex"
    LOGIN_DEAD = "login_dead"
    SKILL_MISSING = "skill_missing"
    MODEL_UNAVAILABLE = "model_unavailable"
    TEXT_FLAGGED = "text_flagged"
    CONTEXT_WINDOW_EXCEEDED = "context_window_exceeded"
    CHALLENGED = "challenged"


class TurnOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent turn ended. `message` is the agent's last message, for display.

    `resets_at` is when a used-up limit resets (UTC); `limit` is the machine code of a limit that does not reset by
    itself, such as `workspace_member_credits_depleted`, and `advice` says who can lift it.

    `confirmed`: the login broker reported what is said about the login, its limits and its quota; otherwise the agent's
    container did, and could have made it up. `limit_reached`: the broker saw that a usage window is used up, even if
    the turn completed. `login_doubtful`: it saw that the login was refused, and has not tried to renew it.
    """

    verdict: AgentVerdict
    message: str = ""
    thread_id: str | None = None
    usage: dict[str, int] = {}
    quota: list[QuotaWindow] = []
    resets_at: datetime | None = None
    limit: str | None = None
    advice: str = ""
    confirmed: bool = False
    limit_reached: bool = False
    login_doubtful: bool = False


class LoginCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a login check without a model turn.

    `alive` is None if unknown (no network, no response in time); `refreshed` says that the login was renewed.
    `words` is the agent's own message, for display. `quota` is None if the windows were not reported.
    """

    alive: bool | None
    refreshed: bool = False
    words: str = ""
    quota: list[QuotaWindow] | None = None
