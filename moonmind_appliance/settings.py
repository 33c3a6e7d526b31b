"""Every setting: its name, type, default and one sentence. Read from the environment and an env file.

A value comes, first match first, from: the variable, the file named by `NAME_FILE`, the env file's line (again
`NAME`, then `NAME_FILE`), the default.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.units import size_setting, span_setting

DEFAULT_ENV_FILE = Path("/etc/moonmind-appliance/appliance.env")

# Where a value comes from, in `Loaded.sources` and in problems.
ENVIRONMENT, ENV_FILE = "environment", "env file"

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SPANS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SPAN = 3650 * 86400
_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")


class Secret:
    """A value that only `reveal` returns: it never appears in a repr, a log line or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def _text(raw: str) -> str:
    return raw


def _secret(raw: str) -> Secret:
    if "\n" in raw or "\r" in raw:
        raise ValueError("contains a line break")
    return Secret(raw)


def _flag(raw: str) -> bool:
    word = raw.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(raw)

    return parse


def _cpus(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 256:  # noqa: PLR2004 - the bounds are said in the message
        raise ValueError("is not a number of CPUs from 0.1 to 256")
    return value


class _Size(NamedTuple):
    """Parses a size of at least `low` bytes."""

    low: int

    def __call__(self, raw: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12})\s*([kmg]?)i?b?", raw.lower())
        if not match:
            raise ValueError("is not a size such as 512m or 4g")
        size = int(match[1]) * _SIZES[match[2]]
        if size < self.low:
            raise ValueError(f"is less than {size_setting(self.low)}")
        return size


def _span(raw: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhd]?)", raw.lower())
    if not match or int(match[1]) == 0:
        raise ValueError("is not a time span such as 90s, 30m, 12h or 7d")
    seconds = int(match[1]) * _SPANS[match[2]]
    if seconds > _LONGEST_SPAN:
        raise ValueError("is longer than ten years")
    return seconds


def _slugs(raw: str) -> tuple[str, ...]:
    slugs = tuple(part.strip() for part in raw.split(",") if part.strip())
    for slug in slugs:
        if not _SLUG.fullmatch(slug):
            raise ValueError(f"contains {slug!r}, which is not of the form owner/name")
    return slugs


def _words(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def _url(raw: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", raw):
        raise ValueError("is not an http(s) URL without user, query and fragment")
    try:
        _ = urlsplit(raw).port
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return raw.rstrip("/")


def _path(raw: str) -> Path:
    try:
        return Path(raw).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("names the home directory of an unknown user") from error


def _name(raw: str) -> str:
    if not re.search(r"\w", raw) or re.search(r"[<>\x00-\x1f\x7f]", raw):
        raise ValueError(
            "is not a valid Git author value: it needs a letter or digit, and no <, > or control characters"
        )
    return raw


def _existing_file(raw: str) -> Path:
    path = _path(raw)
    if not path.is_file():
        raise ValueError(f"names {path}, which is not a file")
    return path


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError(f"is not one of: {', '.join(choices)}")
        return raw.lower()

    return parse


def _backend(raw: str) -> str:
    if not re.fullmatch(r"codex|spec-kit:[a-z0-9][a-z0-9-]{0,40}", raw):
        raise ValueError("is neither codex nor spec-kit:INTEGRATION")
    return raw


def _prefix(raw: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,60}", raw):
        raise ValueError("is not a Docker name (letters, digits, dot, dash, underscore)")
    return raw


@dataclass(frozen=True)
class Option:
    """How one setting is parsed and documented. `hint` supplements the parser's message."""

    sentence: str
    parse: Callable[[str], Any]
    hint: str = ""
    older_names: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The appliance's settings; the variable's name is the field's in capitals."""

    moonmind_data_dir: Annotated[
        Path,
        Option("Folder that contains the database, the artifacts and the queues.", _path),
    ] = Path("/var/lib/moonmind-appliance")
    moonmind_host: Annotated[str, Option("Address the API listens on.", _text)] = "127.0.0.1"
    moonmind_port: Annotated[int, Option("Port the API listens on.", _whole(1, 65535))] = 5000
    moonmind_public_url: Annotated[
        str | None,
        Option(
            "URL at which callers reach the API, if it differs from the address it listens on, such as a TLS proxy's.",
            _url,
            "Use https://HOST or http://HOST:PORT, without the API's path.",
        ),
    ] = None
    moonmind_log_format: Annotated[
        str,
        Option("How `serve` writes its log: text for people, json for collectors.", _choice("text", "json")),
    ] = "text"
    auth_provider: Annotated[
        str,
        Option(
            "Who issues the bearer tokens: local (`moonmind-appliance token create`) or keycloak.",
            _choice("local", "keycloak"),
        ),
    ] = "local"
    oidc_issuer_url: Annotated[
        str | None,
        Option(
            "URL of the Keycloak realm that issues the tokens, exactly as in their `iss` claim.",
            _url,
            "Use https://HOST/realms/NAME.",
        ),
    ] = None
    oidc_internal_url: Annotated[
        str | None,
        Option(
            "Keycloak URL that the appliance itself uses, if it differs from the issuer's.",
            _url,
            "Use http://HOST:PORT.",
        ),
    ] = None
    oidc_client_id: Annotated[str, Option("Client that access tokens must be issued for (`azp` or `aud`).", _text)] = (
        "api-service"
    )
    oidc_client_secret: Annotated[
        Secret | None,
        Option(
            "Secret of that client, for callers' password grants; the appliance uses it only to redact it from logs.",
            _secret,
            older_names=("API_CLIENT_SECRET",),
        ),
    ] = None
    oidc_operator_role: Annotated[str, Option("Realm or client role that makes a caller an operator.", _text)] = (
        "operator"
    )
    oidc_cli_client_id: Annotated[str, Option("Public client that `moonmind-appliance login` uses.", _text)] = (
        "moonmind-cli"
    )
    github_token: Annotated[
        Secret | None,
        Option(
            "GitHub token that reads the repositories, pushes branches and opens pull requests (repo scope).", _secret
        ),
    ] = None
    github_api_url: Annotated[
        str,
        Option("URL of GitHub's REST API; for GitHub Enterprise Server https://HOST/api/v3.", _url),
    ] = "https://api.github.com"
    github_server_url: Annotated[str, Option("URL that repositories are cloned from and pushed to.", _url)] = (
        "https://github.com"
    )
    spec_workflow_github_repository: Annotated[
        tuple[str, ...],
        Option(
            "Repositories that runs may use, comma-separated; empty allows every repository that the token can push "
            "to.",
            _slugs,
        ),
    ] = ()
    spec_workflow_test_mode: Annotated[bool, Option("Treat every run as a dry run: nothing is pushed.", _flag)] = False
    pull_request_labels: Annotated[
        tuple[str, ...],
        Option("Labels put on each pull request, comma-separated.", _words),
    ] = ("spec-kit",)
    commit_scaffold: Annotated[
        bool,
        Option("Also commit the Spec Kit files that the appliance adds to a repository without them.", _flag),
    ] = False
    git_author_name: Annotated[str, Option("Author and committer name of the commits.", _name)] = "MoonMind Appliance"
    git_author_email: Annotated[str, Option("Author and committer e-mail of the commits.", _name)] = (
        "moonmind-appliance@users.noreply.localhost"
    )
    clone_depth: Annotated[
        int,
        Option("Commits of history to fetch; 0 fetches all.", _whole(0, 1_000_000)),
    ] = 50
    max_change_bytes: Annotated[int, Option("Largest change, measured as a patch, that is pushed.", _Size(1024))] = (
        10 * 1024**2
    )
    max_workspace_bytes: Annotated[
        int,
        Option("Largest disk use of one run's workspace and clone; a run that exceeds it is ended.", _Size(1024**2)),
    ] = 10 * 1024**3
    max_workspace_files: Annotated[
        int,
        Option(
            "Most files and folders of one run's workspace and clone; a run that exceeds it is ended.",
            _whole(1000, 100_000_000),
        ),
    ] = 1_000_000
    max_kept_workspace_bytes: Annotated[
        int,
        Option(
            "Largest workspace kept after its run has ended; a retry without a workspace starts at the clone.", _Size(0)
        ),
    ] = 1024**3
    max_log_bytes: Annotated[
        int,
        Option("Largest log of one phase; output beyond it is discarded.", _Size(1024)),
    ] = 64 * 1024**2
    spec_automation_job_image: Annotated[str, Option("Image of the job containers.", _text)] = (
        "moonmind/spec-automation-job:latest"
    )
    docker_host: Annotated[
        str | None,
        Option("Address of the Docker engine, in the format of Docker's own tools; empty: the local socket.", _text),
    ] = None
    job_network: Annotated[
        str,
        Option("Docker network of the job containers; created if it is missing.", _prefix),
    ] = "moonmind-jobs"
    workspaces_volume: Annotated[
        str | None,
        Option(
            "Docker volume for all workspaces, mounted at `workspaces` in the data folder; empty: one volume per run.",
            _prefix,
        ),
    ] = None
    container_memory: Annotated[int, Option("Memory limit of each job container.", _Size(64 * 1024**2))] = 4 * 1024**3
    container_cpus: Annotated[float, Option("CPU limit of each job container.", _cpus)] = 2.0
    container_pids: Annotated[int, Option("Process limit of each job container.", _whole(16, 1_000_000))] = 1024
    codex_shards: Annotated[
        int, Option("Number of shards; each has its own login and runs one run at a time.", _whole(1, 64))
    ] = 3
    codex_volume_prefix: Annotated[
        str,
        Option("Prefix of the login volumes' names; the shard's number follows it.", _prefix),
    ] = "codex_auth_"
    agent_backend: Annotated[
        str,
        Option(
            "Agent of the Spec Kit phases: codex, or spec-kit:INTEGRATION for another agent that Spec Kit supports.",
            _backend,
            "`specify integration list` shows the integrations.",
        ),
    ] = "codex"
    codex_model: Annotated[
        str | None,
        Option("Model that Codex uses; empty: Codex's default.", _text),
    ] = None
    agent_https_proxy: Annotated[
        str | None,
        Option(
            "Proxy that the agent container uses for HTTPS.",
            _url,
            "Use an address such as http://proxy:3128.",
        ),
    ] = None
    agent_no_proxy: Annotated[
        str | None,
        Option("Hosts that the agent container reaches without the proxy.", _text),
    ] = None
    extra_ca_certs: Annotated[
        Path | None,
        Option("PEM file of additional certificate authorities that job containers and Codex trust.", _existing_file),
    ] = None
    phase_time_limit: Annotated[int, Option("Time limit of one Spec Kit phase.", _span)] = 45 * 60
    phase_silence_limit: Annotated[
        int,
        Option("Longest time a Spec Kit phase may run without output.", _span),
    ] = 10 * 60
    git_time_limit: Annotated[int, Option("Time limit of a clone or a push.", _span)] = 15 * 60
    artifact_retention: Annotated[
        int,
        Option("How long artifacts and workspaces are kept after a run ends.", _span),
    ] = 7 * 86400
    min_free_disk: Annotated[
        int,
        Option("Free space in the data folder below which no run is accepted.", _Size(0)),
    ] = 1024**3
    stop_grace: Annotated[
        int,
        Option("How long `serve` waits for its workers to stop when it shuts down.", _span),
    ] = 30

    @property
    def allowed_repositories(self) -> frozenset[str]:
        """Repositories that runs may use, in lower case, as GitHub ignores case; empty: any."""
        return frozenset(slug.lower() for slug in self.spec_workflow_github_repository)


class SettingValue(NamedTuple):
    """One setting as `moonmind-appliance settings` shows it; `shown` masks secrets."""

    name: str
    shown: str
    source: str
    sentence: str


@cache
def options() -> Mapping[str, Option]:
    """Each variable's name and option, in the order of the docs."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        field.upper(): next(arg for arg in get_args(hints[field])[1:] if isinstance(arg, Option))
        for field in Settings.__struct_fields__
    }


def default_of(name: str) -> Any:  # noqa: ANN401 - settings have many types
    """The default of the setting of that variable."""
    return next(f.default for f in msgspec.structs.fields(Settings) if f.name == name.lower())


def show(name: str, value: Any) -> str:  # noqa: ANN401 - settings have many types
    """A value of that setting as the docs write it, such as 7d or 4g; a secret is masked."""
    parse = options()[name].parse
    match value:
        case None:
            shown = ""
        case Secret():
            shown = "***" if value else ""
        case bool():
            shown = "true" if value else "false"
        case tuple():
            shown = ",".join(value)
        case int() if isinstance(parse, _Size):
            shown = size_setting(value)
        case int() if parse is _span:
            shown = span_setting(value)
        case _:
            shown = str(value)
    return shown


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
    if settings.auth_provider == "keycloak" and not settings.oidc_issuer_url:
        problems.append(
            (
                SettingProblem(
                    "OIDC_ISSUER_URL", "is required with AUTH_PROVIDER=keycloak.", "Use https://HOST/realms/NAME."
                ),
                {"OIDC_ISSUER_URL", "AUTH_PROVIDER"},
            )
        )
    return problems
