"""Keeps a rehearsal's appliance, stand-ins and logins running, for calls with curl, Postman and the terminal."""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from moonmind_appliance.api.paths import SCHEMA_PATH
from moonmind_appliance.api_address import BASE_PATH, open_socket
from moonmind_appliance.rehearsal.environment import SLUG, TOKEN_NAME, RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.prepare import (
    BASE_BRANCH,
    Progress,
    ProgressReport,
    RehearsalFailed,
    RehearsalOptions,
    prepare,
    scenario_of,
    sign_in_shards,
)
from moonmind_appliance.settings import Settings

ENV_FILE = "appliance.env"
POSTMAN_ENVIRONMENT = "moonmind-rehearsal.postman_environment.json"
_OPERATOR_TOKEN_NAME = "rehearsal-operator"  # noqa: S105 - a token's name
_POLL_SECONDS = 0.2


class ServedRehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """How to use a served rehearsal. Tokens, files and addresses are valid until it ends.

    `env_file` makes other commands on this machine work with this appliance. `curl` submits the specification.
    """

    scenario: str
    shards: int
    base_url: str
    api_url: str
    schema_url: str
    token: str
    operator_token: str
    repository: str
    base_branch: str
    github_url: str
    github_api_url: str
    data_dir: str
    env_file: str
    postman_environment: str
    curl: str


def serve_rehearsal(
    base: Settings,
    options: RehearsalOptions,
    *,
    port: int,
    on_progress: Callable[[Progress], None],
    on_ready: Callable[[ServedRehearsal], None],
    stopped: Callable[[], bool],
) -> None:
    """Serve until `stopped` returns True, then remove everything unless `keep`. Port 0 selects a free port.

    Raises:
        AddressUnavailable: the port cannot be used; nothing was started.
        RehearsalFailed: unknown scenario, the repository cannot be used, or the API ended by itself.
        RehearsalStopped: `stopped` returned True before everything was ready; everything is removed.
        EngineError: Docker cannot be used.
    """
    scenario = scenario_of(options)
    shards = options.shards or scenario.shards
    progress = ProgressReport(on_progress, stopped)
    with open_socket("127.0.0.1", port) as listening:
        environment = RehearsalEnvironment(
            base,
            overrides={"MOONMIND_PORT": str(listening.getsockname()[1])},
            think_seconds=options.think_seconds,
            shards=shards,
            github_app=scenario.github_app,
            login_broker=options.login_broker,
        )
        with environment:
            prepare(environment, scenario, options, progress)
            with RunningAppliance(environment.settings, listening) as running:
                progress(f"The appliance listens on {running.url}.")
                sign_in_shards(environment, running, shards, progress)
                served = _describe(environment, running, options, shards)
                progress.check()
                on_ready(served)
                while not stopped():
                    if not running.alive:
                        raise RehearsalFailed("The API ended by itself.", hint="Run again with --debug for its log.")
                    time.sleep(_POLL_SECONDS)


def _describe(
    environment: RehearsalEnvironment, running: RunningAppliance, options: RehearsalOptions, shards: int
) -> ServedRehearsal:
    """Create the tokens, write the env file and the Postman environment, and describe everything."""
    tokens = running.appliance.resources.store.tokens
    token = tokens.create(TOKEN_NAME, operator=False, expires_at=None)
    operator_token = tokens.create(_OPERATOR_TOKEN_NAME, operator=True, expires_at=None)
    env_file = environment.folder / ENV_FILE
    postman = environment.folder / POSTMAN_ENVIRONMENT
    _write_private(env_file, env_file_text(environment.variables()))
    _write_private(postman, postman_environment(running.url, token, options.spec))
    return ServedRehearsal(
        scenario=options.scenario,
        shards=shards,
        base_url=running.url,
        api_url=f"{running.url}{BASE_PATH}",
        schema_url=f"{running.url}{SCHEMA_PATH}",
        token=token,
        operator_token=operator_token,
        repository=SLUG,
        base_branch=BASE_BRANCH,
        github_url=environment.github.server_url,
        github_api_url=environment.github.api_url,
        data_dir=str(environment.data_dir),
        env_file=str(env_file),
        postman_environment=str(postman),
        curl=curl_command(running.url, token, options.spec),
    )


def curl_command(base_url: str, token: str, spec: str) -> str:
    """A command for a POSIX shell that submits the specification."""
    body = json.dumps({"repository": SLUG, "base_branch": BASE_BRANCH, "specify_text": spec}, ensure_ascii=False)
    return (
        f"curl -sS -X POST {base_url}{BASE_PATH}/runs \\\n"
        f"  -H 'Authorization: Bearer {token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  --data-raw {shlex.quote(body)}"
    )


def env_file_text(variables: Mapping[str, str]) -> str:
    """The variables as an env file."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in variables.items()}
    return "".join(f"{name}='{value}'\n" for name, value in quoted.items())


def postman_environment(base_url: str, token: str, spec: str) -> str:
    """A Postman environment with the variables of docs/postman, filled in; without Keycloak."""
    values = {
        "base_url": base_url,
        "moonmind_api_token": token,
        "repository": SLUG,
        "base_branch": BASE_BRANCH,
        "spec_input": spec,
        "oidc_base_url": "",
        "oidc_client_id": "",
        "oidc_client_secret": "",
        "moonmind_username": "",
        "moonmind_password": "",
        "poll_seconds": "2",
    }
    secret = {"moonmind_api_token", "oidc_client_secret", "moonmind_password"}
    entries = [
        {"key": key, "value": value, "type": "secret" if key in secret else "default", "enabled": True}
        for key, value in values.items()
    ]
    document = {"name": "MoonMind rehearsal", "values": entries, "_postman_variable_scope": "environment"}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
