"""The stand-in's scenarios: what happens, from which phase on, and how often."""

import threading
from enum import StrEnum

import msgspec

from moonmind_appliance.rehearsal.openai.accounts import Account


class Play(StrEnum):
    """The expected behaviour, and the failures."""

    NORMAL = "normal"
    NO_CHANGES = "no-changes"
    CLARIFICATIONS = "clarifications"
    TEMPLATE_LEFT = "template-left"
    HOSTILE = "hostile"
    LEAK_OUTPUT = "leak-output"
    LEAK_FILE = "leak-file"
    AGENT_FAILS = "agent-fails"
    USAGE_LIMIT = "usage-limit"
    USAGE_NOT_INCLUDED = "usage-not-included"
    OVERLOADED = "overloaded"
    SERVER_ERRORS = "server-errors"
    STREAM_DROPPED = "stream-dropped"
    SILENT = "silent"
    DEAD_LOGIN = "dead-login"


class Scenario(msgspec.Struct, frozen=True):
    """A play and its numbers.

    `resets_in`: seconds until a used-up limit resets. `drops`: how many streams of a turn are cut off before one
    succeeds (Codex retries five times). `secret`: what `leak-file` writes into the change. `script`: what
    `hostile` runs in a shell instead of its own script, once in each phase after the phase's files are written;
    `$FEATURE` is the feature folder.
    """

    play: Play = Play.NORMAL
    resets_in: int = 3600
    drops: int = 1
    secret: str = "ghp_" + "Rehearsal0" * 3 + "Aa1Bb2"
    script: str | None = None


NORMAL = Scenario()
SKILLS = ("speckit-specify", "speckit-plan", "speckit-tasks")


class _Rule:
    def __init__(self, scenario: Scenario, skills: tuple[str, ...], times: int | None, account: Account | None) -> None:
        self.scenario = scenario
        self.skills = skills
        self.account = account
        self.left = times


class Programme:
    """Selects the scenario of the next turn. Safe to use from any thread."""

    def __init__(self, scenario: Scenario) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = [_Rule(scenario, (), None, None)]

    def play(
        self,
        scenario: Scenario,
        *,
        phase: str | None = None,
        times: int | None = None,
        account: Account | None = None,
    ) -> None:
        """Set the scenario for turns that begin from now on.

        Args:
            scenario: the scenario.
            phase: from this skill on (`speckit-plan` or `speckit_plan`: plan and tasks); None: every turn.
            times: for that many turns, then the previous scenario; None: until the next call.
            account: only for turns of this account; other accounts keep their scenario.

        Raises:
            ValueError: there is no such phase.
        """
        first = phase.replace("_", "-") if phase else SKILLS[0]
        if first not in SKILLS:
            raise ValueError(f"phase must be one of {', '.join(SKILLS)}, not {phase!r}")
        skills = SKILLS[SKILLS.index(first) :] if phase else ()
        rule = _Rule(scenario, skills, times, account)
        with self._lock:
            if times is None and not skills and account is None:
                self._rules = [rule]
            else:
                self._rules.append(rule)

    def take(self, skill: str | None, account: Account) -> Scenario:
        """The scenario of an account's new turn with that skill; counts the turn."""
        with self._lock:
            for rule in reversed(self._rules):
                if rule.skills and skill not in rule.skills:
                    continue
                if rule.account not in {None, account}:
                    continue
                if rule.left == 0:
                    continue
                if rule.left is not None:
                    rule.left -= 1
                return rule.scenario
        return NORMAL
