"""Settings: their sources, accepted and refused values, and that secrets are never shown."""

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.settings import Secret, Settings, load, options

TOKEN = "ghp_neverShown0123456789abcdefghijklmnop"

GOOD: dict[str, dict[str, object]] = {
    "MOONMIND_DATA_DIR": {"/srv/moonmind": Path("/srv/moonmind"), "rel": Path("rel").absolute()},
    "MOONMIND_PORT": {"1": 1, "65535": 65535, " 8080 ": 8080, "+80": 80},
    "MOONMIND_LOG_FORMAT": {"json": "json", "TEXT": "text"},
    "AUTH_PROVIDER": {"local": "local", "Local": "local"},
    "OIDC_INTERNAL_URL": {"http://keycloak:8080": "http://keycloak:8080", "https://h/auth/": "https://h/auth"},
    "GITHUB_API_URL": {
        "https://ghe.example.invalid/api/v3": "https://ghe.example.invalid/api/v3",
        "http://[::1]:80": "http://[::1]:80",
    },
    "SPEC_WORKFLOW_GITHUB_REPOSITORY": {"a/b": ("a/b",), " a/b , C-d/e.f_g ,": ("a/b", "C-d/e.f_g")},
    "SPEC_WORKFLOW_TEST_MODE": {
        "true": True,
        "1": True,
        "Yes": True,
        "on": True,
        "false": False,
        "0": False,
        "NO": False,
        "off": False,
    },
    "PULL_REQUEST_LABELS": {"a": ("a",), "spec kit, b": ("spec kit", "b")},
    "GIT_AUTHOR_NAME": {"Ünal Bot": "Ünal Bot"},
    "CLONE_DEPTH": {"0": 0, "1000000": 1_000_000},
    "MAX_CHANGE_BYTES": {"1024": 1024, "10m": 10 * 1024**2, "1G": 1024**3, "5 MiB": 5 * 1024**2, "2kb": 2048},
    "MAX_WORKSPACE_BYTES": {"1m": 1024**2, "10g": 10 * 1024**3},
    "MAX_WORKSPACE_FILES": {"1000": 1000, "1000000": 1_000_000},
    "MAX_KEPT_WORKSPACE_BYTES": {"0": 0, "1g": 1024**3},
    "MAX_LOG_BYTES": {"1k": 1024, "64m": 64 * 1024**2},
    "MIN_FREE_DISK": {"0": 0, "1g": 1024**3},
    "CONTAINER_MEMORY": {"64m": 64 * 1024**2, "4g": 4 * 1024**3},
    "CONTAINER_CPUS": {"0.5": 0.5, "2": 2.0, "256": 256.0},
    "CONTAINER_PIDS": {"16": 16},
    "CODEX_SHARDS": {"1": 1, "64": 64},
    "CODEX_VOLUME_PREFIX": {"codex_auth_": "codex_auth_", "a.b-c": "a.b-c"},
    "PHASE_TIME_LIMIT": {"90m": 5400, "2h": 7200, "7d": 604_800, "3600": 3600, "900 S": 900},
    "ARTIFACT_RETENTION": {"3650d": 3650 * 86400},
}

BAD: dict[str, list[str]] = {
    "MOONMIND_DATA_DIR": ["~nobody-of-that-name/x"],
    "MOONMIND_PORT": ["0", "65536", "80.0", "http", "1e3", "-1", "٣", "9" * 20],
    "MOONMIND_LOG_FORMAT": ["xml"],
    "AUTH_PROVIDER": ["none", "keycloaks"],
    "OIDC_ISSUER_URL": [
        "keycloak:8080",
        "ftp://h",
        "https://",
        "https://user:pw@h",
        "https://h/?q",
        "https://h/#f",
        "https://h a",
    ],
    "GITHUB_TOKEN": ["two\nlines", "two\rlines"],
    "SPEC_WORKFLOW_GITHUB_REPOSITORY": ["a", "a/b/c", "https://github.com/a/b", "a/b,c", "-a/b", "a/b;c/d"],
    "SPEC_WORKFLOW_TEST_MODE": ["maybe", "2", "tru"],
    "GIT_AUTHOR_NAME": [",", "<>", "a<b", "a\nb", "."],
    "GIT_AUTHOR_EMAIL": ["a>b", "<a@b>"],
    "CLONE_DEPTH": ["-1", "1000001", "all"],
    "MAX_WORKSPACE_BYTES": ["0", "1023k", "-1g", "much"],
    "MAX_WORKSPACE_FILES": ["0", "999", "many"],
    "MAX_KEPT_WORKSPACE_BYTES": ["-1", "some"],
    "MAX_LOG_BYTES": ["0", "1023"],
    "MAX_CHANGE_BYTES": ["0", "1023", "-1", "ten", "1t", "1.5g", "m"],
    # No limit at all, and less than a container needs to start.
    "CONTAINER_MEMORY": ["0", "1m", "63m"],
    "CONTAINER_CPUS": ["0", "0.05", "257", "nan", "inf", "two"],
    "CONTAINER_PIDS": ["15", "0"],
    "CODEX_SHARDS": ["0", "65", "three"],
    "CODEX_VOLUME_PREFIX": ["/a", "a b", "-a", "ü", "x" * 62, "a/b"],
    "JOB_NETWORK": ["host/x", "a b"],
    "EXTRA_CA_CERTS": ["/nowhere/ca.pem", "/"],
    # Beyond the range of dates.
    "ARTIFACT_RETENTION": ["0", "0d", "-1h", "1w", "1.5h", "9999999d", "3651d"],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_value_is_read(name: str) -> None:
    """Each documented form, in upper and lower case, with surrounding blanks."""
    for raw, value in GOOD[name].items():
        assert getattr(load({name: raw}).settings, name.lower()) == value


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_value_is_refused(name: str) -> None:
    """The problem names the setting and the reason."""
    for raw in BAD[name]:
        with pytest.raises(SettingsError) as caught:
            load({name: raw})
        (problem,) = caught.value.problems
        assert (problem.name, problem.hint) == (name, options()[name].hint), raw
        assert problem.message.endswith("."), raw


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
        ({"AUTH_PROVIDER": "keycloak", "PHASE_TIME_LIMIT": "1m"}, ["PHASE_SILENCE_LIMIT", "OIDC_ISSUER_URL"]),
    ],
)
def test_conflicting_settings_are_refused(values: dict[str, str], names: list[str]) -> None:
    """Each one alone would be valid."""
    with pytest.raises(SettingsError) as caught:
        load(values)
    assert [problem.name for problem in caught.value.problems] == names


# Sources


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


SECRETS = [field.upper() for field in Settings.__struct_fields__ if "Secret" in str(Settings.__annotations__[field])]


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


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_shown_only_by_reveal(name: str) -> None:
    """Not in a repr, a format, the settings' repr or the table of `moonmind-appliance settings`."""
    loaded = load({name: TOKEN})
    secret = getattr(loaded.settings, name.lower())
    assert secret.reveal() == TOKEN
    shown = [repr(secret), str(secret), f"{secret}", repr(loaded.settings), str(loaded), repr(loaded.table())]
    assert not any(TOKEN in text for text in shown)
    assert {value.shown for value in loaded.table() if value.name == name} == {"***"}


@given(st.text(max_size=40))
def test_no_value_breaks_the_parser(raw: str) -> None:
    """Any text is accepted or refused with its setting's name; nothing else is raised."""
    for name in options():
        problems: tuple[SettingProblem, ...] = ()
        try:
            load({name: raw})
        except SettingsError as error:
            problems = error.problems
        assert {problem.name for problem in problems} <= {name, "OIDC_ISSUER_URL", "PHASE_SILENCE_LIMIT"}


def test_every_setting_has_a_sentence() -> None:
    """It ends with a full stop, and so does a hint; the name is the field's in capitals."""
    for name, option in options().items():
        assert name == name.upper()
        assert option.sentence.endswith(".")
        assert not option.hint or option.hint.endswith(".")
        assert name.lower() in Settings.__struct_fields__
