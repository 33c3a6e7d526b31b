"""Read the settings from the environment and an env file.

A value comes, first match first, from: the variable, the file named by `NAME_FILE`, the env file's line (again
`NAME`, then `NAME_FILE`), a variable that many programs read, the default.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.settings.fields import Option, Settings, options, show
from moonmind_appliance.units import span_setting

# Where a value comes from, in `Loaded.sources` and in problems.
ENVIRONMENT, ENV_FILE = "environment", "env file"


class SettingValue(NamedTuple):
    """One setting as `moonmind-appliance settings` shows it; `shown` masks secrets."""

    name: str
    shown: str
    source: str
    sentence: str


class Loaded(NamedTuple):
    """Settings, and the source of each value by variable name."""

    settings: Settings
    sources: dict[str, str]

    def table(self) -> list[SettingValue]:
        """Every setting with its value, masked, and its source."""
        return [
            SettingValue(name, show(name, getattr(self.settings, name.lower())), self.sources[name], option.sentence)
            for name, option in options().items()
        ]


def load(environment: Mapping[str, str], env_file: Mapping[str, str] | None = None) -> Loaded:
    """Read all settings.

    Args:
        environment: the process's variables.
        env_file: the env file's lines, already parsed.

    Raises:
        SettingsError: lists all problems, not only the first.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers: dict[str, str] = {}
    problems: list[SettingProblem] = []
    invalid: set[str] = set()
    given = ((ENVIRONMENT, environment), (ENV_FILE, env_file or {}))
    for name, option in options().items():
        sources[name] = "default"
        try:
            found = _find(name, option, given)
            if found is None:
                found = _general(option, environment)
            if found is None:
                continue
            sources[name], layers[name] = found.source(name), found.layer
            values[name.lower()] = found.parse(option)
        except SettingsError as error:
            problems += error.problems
            invalid.add(name)
    settings = Settings(**values)
    problems += [
        problem._replace(where=layers.get(problem.name, ""))
        for problem, names in _joint_problems(settings)
        if not invalid & names
    ]
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, sources)


class _Found(NamedTuple):
    """A raw value, the variable that has it, and that variable's layer."""

    raw: str
    variable: str
    layer: str
    is_file: bool = False

    def source(self, name: str) -> str:
        """The source as `settings` shows it."""
        if self.is_file:
            return f"{self.variable} in {self.layer}"
        return self.layer if self.variable == name else f"{self.layer} ({self.variable})"

    def parse(self, option: Option) -> Any:  # noqa: ANN401 - settings have many types
        """The value itself.

        Raises:
            SettingsError: it is not valid.
        """
        try:
            return option.parse(self.raw)
        except ValueError as error:
            raise SettingsError([SettingProblem(self.variable, f"{error}.", option.hint, self.layer)]) from None


def _find(name: str, option: Option, given: tuple[tuple[str, Mapping[str, str]], ...]) -> _Found | None:
    """The first value that is not empty.

    Raises:
        SettingsError: the file that should contain it cannot be read.
    """
    for layer, mapping in given:
        for alias in (name, *option.older_names):
            if raw := mapping.get(alias, "").strip():
                return _Found(raw, alias, layer)
            if path := mapping.get(f"{alias}_FILE", "").strip():
                raw = _read_value(f"{alias}_FILE", path, layer)
                if raw:
                    return _Found(raw, f"{alias}_FILE", layer, is_file=True)
    return None


def _general(option: Option, environment: Mapping[str, str]) -> _Found | None:
    """The first of the variables that many programs read, if it is valid for this setting."""
    for name in option.general_names:
        found = _Found(environment.get(name, "").strip(), name, ENVIRONMENT)
        with contextlib.suppress(SettingsError):
            if found.raw:
                found.parse(option)
                return found
    return None


def _read_value(variable: str, path: str, layer: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        # Do not show invalid bytes in the message: they may be part of a secret.
        why = error.strerror if isinstance(error, OSError) else "it is not the path of a UTF-8 text file"
        problem = SettingProblem(variable, f"cannot be read: {why}.", "Check the path and its permissions.", layer)
        raise SettingsError([problem]) from None


def _joint_problems(settings: Settings) -> list[tuple[SettingProblem, set[str]]]:
    """Problems with combinations of settings, each with the settings that it involves."""
    problems = []
    silence, limit = settings.phase_silence_limit, settings.phase_time_limit
    if silence > limit:
        problems.append(
            (
                SettingProblem(
                    "PHASE_SILENCE_LIMIT",
                    f"is longer than PHASE_TIME_LIMIT ({span_setting(silence)} > {span_setting(limit)}).",
                    "Lower it, or raise PHASE_TIME_LIMIT.",
                ),
                {"PHASE_SILENCE_LIMIT", "PHASE_TIME_LIMIT"},
            )
        )
    proxy = settings.agent_https_proxy
    if proxy is not None and proxy.credentials() and not settings.agent_wall:
        problems.append(
            (
                SettingProblem(
                    "AGENT_HTTPS_PROXY",
                    "contains a user or a password, which the agent could read with AGENT_WALL=false.",
                    "Set AGENT_WALL=true, or use a proxy that needs no password.",
                ),
                {"AGENT_HTTPS_PROXY", "AGENT_WALL"},
            )
        )
    problems += _broker_problems(settings)
    if settings.auth_provider == "keycloak" and not settings.oidc_issuer_url:
        problems.append(
            (
                SettingProblem(
                    "OIDC_ISSUER_URL", "is required with AUTH_PROVIDER=keycloak.", "Use https://HOST/realms/NAME."
                ),
                {"OIDC_ISSUER_URL", "AUTH_PROVIDER"},
            )
        )
    if (about_app := _app_problem(settings)) is not None:
        problems.append((about_app, {"GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_TOKEN"}))
    if settings.webhook_url and not settings.webhook_secret:
        problems.append(
            (
                SettingProblem(
                    "WEBHOOK_SECRET",
                    "is required with WEBHOOK_URL.",
                    'Create one with `echo "whsec_$(openssl rand -base64 32)"`, and give it to the receiver, too.',
                ),
                {"WEBHOOK_SECRET", "WEBHOOK_URL"},
            )
        )
    return problems


def _broker_problems(settings: Settings) -> list[tuple[SettingProblem, set[str]]]:
    """Why LOGIN_BROKER cannot work with the other settings."""
    if not settings.login_broker:
        return []
    problems = []
    if not settings.agent_wall:
        message = "needs AGENT_WALL=true: the egress container has the login, and without the wall there is none."
        about = SettingProblem("LOGIN_BROKER", message, "Set AGENT_WALL=true, or LOGIN_BROKER=false.")
        problems.append((about, {"LOGIN_BROKER", "AGENT_WALL"}))
    if settings.agent_backend != "codex":
        message = f"works only with AGENT_BACKEND=codex, not with {settings.agent_backend}."
        about = SettingProblem("LOGIN_BROKER", message, "Set LOGIN_BROKER=false.")
        problems.append((about, {"LOGIN_BROKER", "AGENT_BACKEND"}))
    return problems


def _app_problem(settings: Settings) -> SettingProblem | None:
    """What is wrong with the combination of the GitHub App's settings and GITHUB_TOKEN."""
    if settings.github_app_id is None and settings.github_app_private_key is None:
        return None
    if settings.github_token is not None:
        return SettingProblem(
            "GITHUB_TOKEN",
            "is set together with a GitHub App: it is not clear which of them runs should use.",
            "Remove GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY.",
        )
    if settings.github_app_id is None:
        return SettingProblem(
            "GITHUB_APP_ID",
            "is required with GITHUB_APP_PRIVATE_KEY.",
            "Set it to the App's id, which is on its settings page on GitHub.",
        )
    if settings.github_app_private_key is None:
        return SettingProblem(
            "GITHUB_APP_PRIVATE_KEY",
            "is required with GITHUB_APP_ID.",
            "Set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file that GitHub gave you for the App.",
        )
    return None
