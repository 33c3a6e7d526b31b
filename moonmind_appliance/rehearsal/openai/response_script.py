"""The response script: how the stand-in model responds, from which phase on, and how often."""

import threading
from enum import StrEnum

import msgspec

from moonmind_appliance.rehearsal.openai.accounts import Account


class ResponseKind(StrEnum):
    """The normal response, its variants, and the faults."""

    NORMAL = "normal"
    NO_CHANGES = "no-changes"
    CLARIFICATIONS = "clarifications"
    TEMPLATE_LEFT = "template-left"
    ONLY_TALKS = "only-talks"
    UNRECORDED = "unrecorded"
    OWN_SCRIPT = "own-script"
    HOSTILE = "hostile"
    LEAK_OUTPUT = "leak-output"
    LEAK_FILE = "leak-file"
    AGENT_FAILS = "agent-fails"
    MODEL_UNAVAILABLE = "model-unavailable"
    TEXT_FLAGGED = "text-flagged"
    CONTEXT_EXCEEDED = "context-exceeded"
    USAGE_LIMIT = "usage-limit"
    USAGE_NOT_INCLUDED = "usage-not-included"
    OVERLOADED = "overloaded"
    SERVER_ERRORS = "server-errors"
    STREAM_DROPPED = "stream-dropped"
    SILENT = "silent"
    DEAD_LOGIN = "dead-login"


class ScriptedResponse(msgspec.Struct, frozen=True):
    """A kind of response and its parameters.

    `resets_in`: seconds until a used-up limit resets. `drops`: how many streams of a turn are cut off before one
    succeeds (Codex retries five times). `secret`: what `leak-file` writes into the change. `script`: what
    `hostile` runs in a shell instead of its own script, once in each phase after the phase's files are written;
    `$FEATURE` is the feature folder. `folder`: the new feature's folder instead of `specs/<number>-<name>`; not for
    `own-script`, which writes where the repository's script says.
    """

    kind: ResponseKind = ResponseKind.NORMAL
    resets_in: int = 3600
    drops: int = 1
    secret: str = "ghp_" + "Rehearsal0" * 3 + "0Ywufl"  # the checksum
    script: str | None = None
    folder: str | None = None


NORMAL = ScriptedResponse()
SKILLS = ("speckit-specify", "speckit-plan", "speckit-tasks")


class _Rule:
    def __init__(
        self, response: ScriptedResponse, skills: tuple[str, ...], times: int | None, account: Account | None
    ) -> None:
        self.response = response
        self.skills = skills
        self.account = account
        self.turns_left = times


class ResponseScript:
    """Selects the response of the next turn. Safe to use from any thread."""

    def __init__(self, response: ScriptedResponse) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = [_Rule(response, (), None, None)]

    def add(
        self,
        response: ScriptedResponse,
        *,
        phase: str | None = None,
        times: int | None = None,
        account: Account | None = None,
    ) -> None:
        """Set the response for turns that begin from now on.

        Args:
            response: the response.
            phase: from this skill on (`speckit-plan` or `speckit_plan`: plan and tasks); None: every turn.
            times: for that many turns, then the previous response; None: until the next call.
            account: only for turns of this account; other accounts keep theirs.

        Raises:
            ValueError: there is no such phase.
        """
        first = phase.replace("_", "-") if phase else SKILLS[0]
        if first not in SKILLS:
            raise ValueError(f"phase must be one of {', '.join(SKILLS)}, not {phase!r}")
        skills = SKILLS[SKILLS.index(first) :] if phase else ()
        rule = _Rule(response, skills, times, account)
        with self._lock:
            if times is None and not skills and account is None:
                self._rules = [rule]
            else:
                self._rules.append(rule)

    def take(self, skill: str | None, account: Account) -> ScriptedResponse:
        """The response for an account's new turn with that skill; counts the turn."""
        with self._lock:
            for rule in reversed(self._rules):
                if rule.skills and skill not in rule.skills:
                    continue
                if rule.account not in {None, account}:
                    continue
                if rule.turns_left == 0:
                    continue
                if rule.turns_left is not None:
                    rule.turns_left -= 1
                return rule.response
        return NORMAL
