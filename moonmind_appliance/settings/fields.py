"""Every setting: its name, type, default and one sentence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from moonmind_appliance.in_container.protected_patterns import DEFAULT_WORD, patterns_of
from moonmind_appliance.models.repository import REPOSITORY_RULE
from moonmind_appliance.settings.values import (
    PrivateKey,
    ProxyUrl,
    Secret,
    Size,
    WebhookUrl,
    absolute_path,
    app_id,
    author_value,
    backend_name,
    comma_separated,
    cpu_count,
    docker_name,
    egress_entries,
    existing_file,
    flag,
    http_url,
    networks,
    one_of,
    path_patterns,
    private_key,
    proxy_url,
    receiver_url,
    ref_prefix,
    repositories,
    secret_value,
    sha256_hashes,
    signing_secret,
    text,
    time_span,
    whole_number,
)
from moonmind_appliance.units import size_setting, span_setting

DEFAULT_ENV_FILE = Path("/etc/moonmind-appliance/appliance.env")


@dataclass(frozen=True)
class Option:
    """How one setting is parsed and documented. `hint` supplements the parser's message.

    `general_names` are variables that many programs read. If the setting is not set, their values in the process's
    environment apply, unless they are not valid for the setting.
    """

    sentence: str
    parse: Callable[[str], Any]
    hint: str = ""
    older_names: tuple[str, ...] = ()
    general_names: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The appliance's settings; the variable's name is the field's in capitals."""

    moonmind_data_dir: Annotated[
        Path,
        Option("Folder that contains the database, the artifacts and the queues.", absolute_path),
    ] = Path("/var/lib/moonmind-appliance")
    moonmind_host: Annotated[str, Option("Address the API listens on.", text)] = "127.0.0.1"
    moonmind_port: Annotated[int, Option("Port the API listens on.", whole_number(1, 65535))] = 5000
    moonmind_public_url: Annotated[
        str | None,
        Option(
            "URL at which callers reach the API, if it differs from the address it listens on, such as a TLS proxy's.",
            http_url,
            "Use https://HOST or http://HOST:PORT, without the API's path.",
        ),
    ] = None
    moonmind_log_format: Annotated[
        str,
        Option("How `serve` writes its log: text for people, json for collectors.", one_of("text", "json")),
    ] = "text"
    auth_provider: Annotated[
        str,
        Option(
            "Who issues the bearer tokens: local (`moonmind-appliance token create`) or keycloak.",
            one_of("local", "keycloak"),
        ),
    ] = "local"
    oidc_issuer_url: Annotated[
        str | None,
        Option(
            "URL of the Keycloak realm that issues the tokens, exactly as in their `iss` claim.",
            http_url,
            "Use https://HOST/realms/NAME.",
        ),
    ] = None
    oidc_internal_url: Annotated[
        str | None,
        Option(
            "Keycloak URL that the appliance itself uses, if it differs from the issuer's.",
            http_url,
            "Use http://HOST:PORT.",
        ),
    ] = None
    oidc_client_id: Annotated[str, Option("Client that access tokens must be issued for (`azp` or `aud`).", text)] = (
        "api-service"
    )
    oidc_client_secret: Annotated[
        Secret | None,
        Option(
            "Secret of that client, for callers' password grants; the appliance uses it only to redact it from logs.",
            secret_value,
            older_names=("API_CLIENT_SECRET",),
        ),
    ] = None
    oidc_operator_role: Annotated[str, Option("Realm or client role that makes a caller an operator.", text)] = (
        "operator"
    )
    oidc_cli_client_id: Annotated[str, Option("Public client that `moonmind-appliance login` uses.", text)] = (
        "moonmind-cli"
    )
    trusted_proxies: Annotated[
        tuple[str, ...],
        Option(
            "Addresses or networks of proxies whose `X-Forwarded-For` names the caller's address, comma-separated.",
            networks,
        ),
    ] = ()
    max_failed_authentications: Annotated[
        int,
        Option(
            "Most invalid tokens that one address may send within a minute; 0: no limit.", whole_number(0, 1_000_000)
        ),
    ] = 300
    github_token: Annotated[
        Secret | None,
        Option(
            "GitHub token that reads the repositories, pushes branches and opens pull requests (repo scope).",
            secret_value,
        ),
    ] = None
    github_app_id: Annotated[
        str | None,
        Option(
            "Id or client id of a GitHub App whose short-lived tokens are used instead of GITHUB_TOKEN.",
            app_id,
            "It is on the App's settings page on GitHub.",
        ),
    ] = None
    github_app_private_key: Annotated[
        PrivateKey | None,
        Option(
            "Private key of that App in PEM format; usually GITHUB_APP_PRIVATE_KEY_FILE names its file instead.",
            private_key,
            "Set GITHUB_APP_PRIVATE_KEY_FILE to the .pem file that GitHub gave you for the App.",
        ),
    ] = None
    github_api_url: Annotated[
        str,
        Option("URL of GitHub's REST API; for GitHub Enterprise Server https://HOST/api/v3.", http_url),
    ] = "https://api.github.com"
    github_server_url: Annotated[str, Option("URL that repositories are cloned from and pushed to.", http_url)] = (
        "https://github.com"
    )
    github_https_proxy: Annotated[
        ProxyUrl | None,
        Option(
            "Proxy to GitHub for git and the REST API, for https URLs; may contain a user and a password.",
            proxy_url,
            "Use a URL such as http://proxy:3128 or http://USER:PASSWORD@proxy:3128.",
            general_names=("HTTPS_PROXY", "https_proxy"),
        ),
    ] = None
    github_no_proxy: Annotated[
        str | None,
        Option(
            "Hosts that git and the REST client reach without GITHUB_HTTPS_PROXY, comma-separated.",
            text,
            general_names=("NO_PROXY", "no_proxy"),
        ),
    ] = None
    spec_workflow_github_repository: Annotated[
        tuple[str, ...],
        Option(
            "Repositories that runs may use, comma-separated; empty allows every repository that the token can push "
            "to.",
            repositories,
            f"Use {REPOSITORY_RULE}",
        ),
    ] = ()
    spec_workflow_test_mode: Annotated[bool, Option("Treat every run as a dry run: nothing is pushed.", flag)] = False
    branch_prefix: Annotated[
        str,
        Option(
            "Beginning of the names of the branches that runs push: `<prefix>/<yyyymmdd>/<short run id>`.", ref_prefix
        ),
    ] = "speckit"
    pull_request_labels: Annotated[
        tuple[str, ...],
        Option("Labels put on each pull request, comma-separated.", comma_separated),
    ] = ("spec-kit",)
    commit_scaffold: Annotated[
        bool,
        Option("Also commit the Spec Kit files that the appliance adds to a repository without them.", flag),
    ] = False
    protected_paths: Annotated[
        tuple[str, ...],
        Option(
            "Paths whose changes are left out of the commit, comma-separated; `none` allows all.",
            path_patterns,
            "Use patterns as in a .gitignore file, such as default,Makefile,!.vscode/settings.json.",
        ),
    ] = (DEFAULT_WORD,)
    git_author_name: Annotated[str, Option("Author and committer name of the commits.", author_value)] = (
        "MoonMind Appliance"
    )
    git_author_email: Annotated[str, Option("Author and committer e-mail of the commits.", author_value)] = (
        "moonmind-appliance@users.noreply.localhost"
    )
    clone_depth: Annotated[
        int,
        Option("Commits of history to fetch; 0 fetches all.", whole_number(0, 1_000_000)),
    ] = 50
    not_secret_sha256: Annotated[
        tuple[str, ...],
        Option(
            "SHA-256 hashes of values that look like secrets but are not, comma-separated; refusals contain the hash.",
            sha256_hashes,
        ),
    ] = ()
    max_change_bytes: Annotated[int, Option("Largest change, measured as a patch, that is pushed.", Size(1024))] = (
        10 * 1024**2
    )
    max_workspace_bytes: Annotated[
        int,
        Option("Largest disk use of one run's workspace and clone; a run that exceeds it is ended.", Size(1024**2)),
    ] = 10 * 1024**3
    max_workspace_files: Annotated[
        int,
        Option(
            "Most files and folders of one run's workspace and clone; a run that exceeds it is ended.",
            whole_number(1000, 100_000_000),
        ),
    ] = 1_000_000
    max_kept_workspace_bytes: Annotated[
        int,
        Option(
            "Largest workspace kept after its run has ended; a retry without a workspace starts at the clone.", Size(0)
        ),
    ] = 1024**3
    repository_cache_bytes: Annotated[
        int,
        Option("Largest cache of one repository, from which later runs of it clone; 0: no cache.", Size(0)),
    ] = 2 * 1024**3
    repository_cache_retention: Annotated[
        int,
        Option("How long a repository's cache is kept after its last run.", time_span),
    ] = 14 * 86400
    max_log_bytes: Annotated[
        int,
        Option("Largest log of one phase; output beyond it is discarded.", Size(1024)),
    ] = 64 * 1024**2
    max_run_log_bytes: Annotated[
        int,
        Option(
            "Largest size of all logs of one run together, over all attempts; output beyond it is discarded.",
            Size(1024),
        ),
    ] = 512 * 1024**2
    spec_automation_job_image: Annotated[str, Option("Image of the job containers.", text)] = (
        "moonmind/spec-automation-job:latest"
    )
    docker_host: Annotated[
        str | None,
        Option("Address of the Docker engine, in the format of Docker's own tools; empty: the local socket.", text),
    ] = None
    job_network: Annotated[
        str,
        Option("Docker network of the job containers; created if it is missing.", docker_name),
    ] = "moonmind-jobs"
    workspaces_volume: Annotated[
        str | None,
        Option(
            "Docker volume for all workspaces, mounted at `workspaces` in the data folder; empty: one volume per run.",
            docker_name,
        ),
    ] = None
    container_memory: Annotated[int, Option("Memory limit of each job container.", Size(64 * 1024**2))] = 4 * 1024**3
    container_cpus: Annotated[float, Option("CPU limit of each job container.", cpu_count)] = 2.0
    container_pids: Annotated[int, Option("Process limit of each job container.", whole_number(16, 1_000_000))] = 1024
    codex_shards: Annotated[
        int, Option("Number of shards; each has its own login and runs one run at a time.", whole_number(1, 64))
    ] = 3
    codex_volume_prefix: Annotated[
        str,
        Option("Prefix of the login volumes' names; the shard's number follows it.", docker_name),
    ] = "codex_auth_"
    agent_backend: Annotated[
        str,
        Option(
            "Agent of the Spec Kit phases: codex, or spec-kit:INTEGRATION for another agent that Spec Kit supports.",
            backend_name,
            "`specify integration list` shows the integrations.",
        ),
    ] = "codex"
    codex_model: Annotated[
        str | None,
        Option("Model that Codex uses; empty: Codex's default.", text),
    ] = None
    agent_wall: Annotated[
        bool,
        Option("The agent reaches only the hosts of its service and of AGENT_EGRESS_ALLOW; false: all networks.", flag),
    ] = True
    login_broker: Annotated[
        bool,
        Option(
            "Keep Codex's login in the egress container, which adds it to requests; the agent cannot read it. Needs "
            "AGENT_WALL.",
            flag,
        ),
    ] = False
    agent_egress_allow: Annotated[
        tuple[str, ...],
        Option(
            "Further hosts that the agent may reach by HTTPS, comma-separated: HOST, HOST:PORT, or *.HOST for its "
            "subdomains.",
            egress_entries,
            "Use entries such as packages.example.com, *.example.com or 10.0.0.5:8443.",
        ),
    ] = ()
    agent_web_search: Annotated[
        bool,
        Option("Let Codex search the web through OpenAI; each search can reveal what the agent has read.", flag),
    ] = False
    agent_https_proxy: Annotated[
        ProxyUrl | None,
        Option(
            "Proxy to the agent's service; may contain a user and a password if AGENT_WALL is true.",
            proxy_url,
            "Use a URL such as http://proxy:3128 or http://USER:PASSWORD@proxy:3128.",
        ),
    ] = None
    agent_no_proxy: Annotated[
        str | None,
        Option("Hosts that are reached without AGENT_HTTPS_PROXY, comma-separated.", text),
    ] = None
    extra_ca_certs: Annotated[
        Path | None,
        Option("PEM file of additional certificate authorities that job containers and Codex trust.", existing_file),
    ] = None
    phase_time_limit: Annotated[int, Option("Time limit of one Spec Kit phase.", time_span)] = 45 * 60
    phase_silence_limit: Annotated[
        int,
        Option("Longest time a Spec Kit phase may run without output.", time_span),
    ] = 10 * 60
    git_time_limit: Annotated[int, Option("Time limit of a clone or a push.", time_span)] = 15 * 60
    artifact_retention: Annotated[
        int,
        Option("How long artifacts and workspaces are kept after a run ends.", time_span),
    ] = 7 * 86400
    text_retention: Annotated[
        int | None,
        Option("How long specification texts are kept after a run ends; empty: as long as the run.", time_span),
    ] = None
    max_submissions_per_minute: Annotated[
        int,
        Option("Most runs that one user may submit within a minute; 0: no limit.", whole_number(0, 1_000_000)),
    ] = 0
    max_queued_runs_per_user: Annotated[
        int,
        Option("Most queued runs of one user; 0: no limit.", whole_number(0, 1_000_000)),
    ] = 0
    max_queued_runs: Annotated[
        int,
        Option("Most queued runs of all users; 0: no limit.", whole_number(0, 1_000_000)),
    ] = 100_000
    min_free_disk: Annotated[
        int,
        Option("Free disk space below which no run starts; below a quarter of it, no run is accepted.", Size(0)),
    ] = 1024**3
    stop_grace: Annotated[
        int,
        Option(
            "How long `serve` lets the running phases continue when it is stopped, before it interrupts them.",
            time_span,
        ),
    ] = 30

    webhook_url: Annotated[
        WebhookUrl | None,
        Option(
            "URL that receives a signed message when a run ends or needs a person, or a login dies; empty: none.",
            receiver_url,
            "Use https://HOST/PATH; http:// only for loopback and private addresses, and names without dots.",
        ),
    ] = None
    webhook_secret: Annotated[
        Secret | None,
        Option(
            "Secret that signs the webhook's messages: `whsec_` and 24 to 64 random bytes in base64.",
            signing_secret,
            'Create one with `echo "whsec_$(openssl rand -base64 32)"`.',
        ),
    ] = None

    @property
    def protected_patterns(self) -> tuple[str, ...]:
        """The patterns of PROTECTED_PATHS, with those of `default`; empty: no path is protected."""
        return patterns_of(self.protected_paths)

    @property
    def allowed_repositories(self) -> frozenset[str]:
        """Repositories that runs may use, in lower case, as GitHub ignores case; empty: any."""
        return frozenset(slug.lower() for slug in self.spec_workflow_github_repository)


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
        case ProxyUrl() | WebhookUrl():
            shown = value.shown
        case Secret():
            shown = "***" if value else ""
        case bool():
            shown = "true" if value else "false"
        case tuple():
            shown = ",".join(value)
        case int() if isinstance(parse, Size):
            shown = size_setting(value)
        case int() if parse is time_span:
            shown = span_setting(value)
        case _:
            shown = str(value)
    return shown
