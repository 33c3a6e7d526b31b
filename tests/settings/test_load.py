"""Where settings come from, which problems are reported, and that no error shows a secret."""

import traceback
from pathlib import Path
from random import Random

import pytest

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.settings import ProxyUrl, Secret, Settings, load, options
from tests.known_tokens import private_key

TOKEN = "ghp_neverShown0123456789abcdefghijklmnop"


def test_without_variables_every_setting_has_its_default() -> None:
    """And the source is `default`."""
    loaded = load({})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


@pytest.mark.parametrize("name", [name for name in options() if name != "AUTH_PROVIDER"])
def test_an_empty_value_counts_as_unset(name: str) -> None:
    """Compose passes on an unset variable in this way."""
    assert load({name: "", f"{name}_FILE": "  "}).sources[name] == "default"


def test_all_problems_are_reported_at_once() -> None:
    """The operator can fix all of them before a restart."""
    bad = {"MOONMIND_PORT": "x", "CODEX_SHARDS": "0", "CONTAINER_CPUS": "x", "GITHUB_TOKEN_FILE": "/nowhere"}
    with pytest.raises(SettingsError) as caught:
        load(bad)
    assert {problem.name for problem in caught.value.problems} == set(bad)
    assert str(caught.value).startswith("4 settings cannot be used:")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"PHASE_SILENCE_LIMIT": "2h", "PHASE_TIME_LIMIT": "1h"}, ["PHASE_SILENCE_LIMIT"]),
        ({"AUTH_PROVIDER": "keycloak"}, ["OIDC_ISSUER_URL"]),
        ({"WEBHOOK_URL": "https://hooks.example.org/x"}, ["WEBHOOK_SECRET"]),
        ({"AGENT_HTTPS_PROXY": "http://u:p@proxy:3128", "AGENT_WALL": "false"}, ["AGENT_HTTPS_PROXY"]),
        ({"LOGIN_BROKER": "true", "AGENT_WALL": "false"}, ["LOGIN_BROKER"]),
        ({"LOGIN_BROKER": "true", "AGENT_BACKEND": "spec-kit:claude"}, ["LOGIN_BROKER"]),
        ({"AUTH_PROVIDER": "keycloak", "PHASE_TIME_LIMIT": "1m"}, ["PHASE_SILENCE_LIMIT", "OIDC_ISSUER_URL"]),
    ],
)
def test_conflicting_settings_are_refused(values: dict[str, str], names: list[str]) -> None:
    """Each one alone would be valid."""
    with pytest.raises(SettingsError) as caught:
        load(values)
    assert [problem.name for problem in caught.value.problems] == names


# Sources


def test_general_variables_apply_if_the_setting_is_not_set() -> None:
    """The setting from any source has precedence; the general variables come only from the process's environment."""
    general = {"HTTPS_PROXY": "http://general:1", "no_proxy": "corp.example"}
    loaded = load(general, {"GITHUB_HTTPS_PROXY": "http://own:2", "NO_PROXY": "ignored"})
    assert loaded.settings.github_https_proxy == ProxyUrl("http://own:2")
    assert loaded.settings.github_no_proxy == "corp.example"
    loaded = load(general)
    assert loaded.settings.github_https_proxy == ProxyUrl("http://general:1")
    assert loaded.sources["GITHUB_HTTPS_PROXY"] == "environment (HTTPS_PROXY)"
    assert load({}, general).settings.github_https_proxy is None


def test_a_general_variable_that_is_not_valid_is_ignored() -> None:
    """Other programs may be able to use it; the appliance starts."""
    assert load({"HTTPS_PROXY": "socks5://proxy:1080"}).settings.github_https_proxy is None


def test_a_proxys_password_is_never_shown() -> None:
    """Neither in the table of settings nor in a message about a value that is not valid."""
    table = {row.name: row.shown for row in load({"GITHUB_HTTPS_PROXY": "http://ann:s3cret-word@proxy:3128"}).table()}
    assert table["GITHUB_HTTPS_PROXY"] == "http://***@proxy:3128"
    with pytest.raises(SettingsError) as caught:
        load({"GITHUB_HTTPS_PROXY": "http://ann:s3cret/word@proxy:3128"})
    assert "s3cret" not in str(caught.value)
    assert "%40" in str(caught.value)


def secret_file(folder: Path, text: str | bytes) -> str:
    path = folder / "secret"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_the_first_source_that_has_a_value_wins(tmp_path: Path) -> None:
    """Variable, its _FILE, the env file's line, the env file's _FILE, default."""
    path = secret_file(tmp_path, "from-file\n")
    layers = [
        ({"CODEX_MODEL": "from-variable"}, {}, "from-variable", "environment"),
        ({"CODEX_MODEL_FILE": path}, {}, "from-file", "CODEX_MODEL_FILE in environment"),
        ({}, {"CODEX_MODEL": "from-line"}, "from-line", "env file"),
        ({}, {"CODEX_MODEL_FILE": path}, "from-file", "CODEX_MODEL_FILE in env file"),
        ({}, {}, None, "default"),
    ]
    for first, (environment, env_file, value, source) in enumerate(layers):
        below_environment: dict[str, str] = {}
        below_file: dict[str, str] = {}
        for lower_environment, lower_file, _, _ in reversed(layers[first:]):
            below_environment |= lower_environment
            below_file |= lower_file
        loaded = load(below_environment | environment, below_file | env_file)
        assert (loaded.settings.codex_model, loaded.sources["CODEX_MODEL"]) == (value, source)


def test_an_older_name_is_accepted_and_is_the_source() -> None:
    """The current name has priority within a layer."""
    loaded = load({"API_CLIENT_SECRET": "older-secret"})
    assert loaded.settings.oidc_client_secret == Secret("older-secret")
    assert loaded.sources["OIDC_CLIENT_SECRET"] == "environment (API_CLIENT_SECRET)"
    both = load({"API_CLIENT_SECRET": "older-secret", "OIDC_CLIENT_SECRET": "todays-secret"})
    assert both.settings.oidc_client_secret == Secret("todays-secret")


KEY = private_key(Random(1))  # noqa: S311 - no secret
APP = {"GITHUB_APP_ID": "4711", "GITHUB_APP_PRIVATE_KEY": KEY}


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        (APP | {"GITHUB_TOKEN": TOKEN}, "GITHUB_TOKEN", "together with a GitHub App"),
        ({"GITHUB_APP_ID": "4711"}, "GITHUB_APP_PRIVATE_KEY", "is required with GITHUB_APP_ID"),
        ({"GITHUB_APP_PRIVATE_KEY": KEY}, "GITHUB_APP_ID", "is required with GITHUB_APP_PRIVATE_KEY"),
    ],
)
def test_a_github_app_is_set_as_a_whole_and_alone(given: dict[str, str], name: str, said: str) -> None:
    """One of its settings without the other, or together with a token, is an error that says what to do."""
    with pytest.raises(SettingsError) as caught:
        load(given)
    (problem,) = caught.value.problems
    assert (problem.name, said in problem.message, bool(problem.hint)) == (name, True, True)
    assert load(APP).settings.github_app_id == "4711"


def test_a_private_key_comes_from_a_file(tmp_path: Path) -> None:
    """The file may end with a line break, as GitHub's download does."""
    loaded = load({"GITHUB_APP_ID": "4711", "GITHUB_APP_PRIVATE_KEY_FILE": secret_file(tmp_path, f"{KEY}\n")})
    assert loaded.settings.github_app_private_key is not None
    assert loaded.settings.github_app_private_key.reveal() == f"{KEY}\n"


def test_a_files_surrounding_blanks_are_removed(tmp_path: Path) -> None:
    """Editors and `echo` add them."""
    path = secret_file(tmp_path, f"  {TOKEN}\r\n\n")
    assert load({"GITHUB_TOKEN_FILE": path}).settings.github_token == Secret(TOKEN)


def test_an_empty_file_counts_as_unset(tmp_path: Path) -> None:
    """The next source is used."""
    path = secret_file(tmp_path, "\n")
    assert load({"GITHUB_TOKEN_FILE": path}, {"GITHUB_TOKEN": TOKEN}).settings.github_token == Secret(TOKEN)


@pytest.mark.parametrize("path", ["/nowhere/token", "/", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_problem_of_its_variable(path: str) -> None:
    """Missing, a folder, or an invalid name."""
    with pytest.raises(SettingsError) as caught:
        load({"GITHUB_TOKEN_FILE": path})
    assert [problem.name for problem in caught.value.problems] == ["GITHUB_TOKEN_FILE"]


# Secrets


def all_texts(error: BaseException) -> str:
    """An exception's message, traceback and attributes."""
    chain, said = error, ""
    while chain is not None:
        said += "".join(traceback.format_exception(chain)) + repr(vars(chain)) + repr(chain.args)
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    return said


KINDS = ("Secret", "PrivateKey")
SECRETS = [
    field.upper()
    for field in Settings.__struct_fields__
    if any(kind in str(Settings.__annotations__[field]) for kind in KINDS)
]


@pytest.mark.parametrize("name", SECRETS)
def test_no_error_contains_a_secret(tmp_path: Path, name: str) -> None:
    """In messages, tracebacks and attributes of the error."""
    binary = tmp_path / "binary"
    binary.write_bytes(f"{TOKEN}\xff".encode("latin-1"))
    for environment in (
        {name: f"{TOKEN}\n{TOKEN}"},
        {f"{name}_FILE": secret_file(tmp_path, f"{TOKEN}\n{TOKEN}")},
        {f"{name}_FILE": str(binary)},
        {name: TOKEN, "MOONMIND_PORT": "x"},
    ):
        with pytest.raises(SettingsError) as caught:
            load(environment)
        assert TOKEN not in all_texts(caught.value)
