"""The sources of settings."""

from pathlib import Path

import pytest

from moonmind_appliance.cli.configuration import configure, misspelled, read_env_file
from moonmind_appliance.errors import SettingsError
from tests.cli.terminal import Terminal


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.env"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_read_unchanged(tmp_path: Path) -> None:
    """Quotes and comments are removed; `$` has no meaning, as a secret may contain one."""
    path = file(
        tmp_path, "# GITHUB_TOKEN=old\nGITHUB_TOKEN='a$b${HOME}'\nexport MOONMIND_PORT=5001\nGIT_AUTHOR_NAME=A B\n"
    )
    assert read_env_file(path).values == {
        "GITHUB_TOKEN": "a$b${HOME}",
        "MOONMIND_PORT": "5001",
        "GIT_AUTHOR_NAME": "A B",
    }


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The source of each value is recorded."""
    path = file(tmp_path, "MOONMIND_PORT=5001\nCODEX_SHARDS=1\n")
    loaded = configure({"MOONMIND_PORT": "5002"}, path).loaded
    assert (loaded.settings.moonmind_port, loaded.sources["MOONMIND_PORT"]) == (5002, "environment")
    assert (loaded.settings.codex_shards, loaded.sources["CODEX_SHARDS"]) == (1, "env file")


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    """MOONMIND_ENV_FILE names it if no option does."""
    path = file(tmp_path, "MOONMIND_PORT=5001\n")
    assert configure({"MOONMIND_ENV_FILE": str(path)}, None).settings.moonmind_port == 5001


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A missing named file is an error: ignoring it would hide a typing error."""
    with pytest.raises(SettingsError, match="does not exist"):
        configure({}, tmp_path / "other.env")


def test_an_invalid_line_is_numbered_but_not_shown(tmp_path: Path) -> None:
    """The invalid line may contain part of a secret."""
    path = file(tmp_path, "MOONMIND_PORT=5001\nGITHUB_TOKEN ghp_halfasecret\n")
    with pytest.raises(SettingsError) as refused:
        configure({}, path)
    assert "line 2" in str(refused.value)
    assert "ghp_half" not in str(refused.value)


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    """Invalid lines and invalid values, in the order of the file; then those of the environment."""
    path = tmp_path / "my.env"
    path.write_bytes(
        b"MOONMIND_PORT=none\nGITHUB_TOKEN ghp_x\nGIT_AUTHOR_NAME=\xff\nCODEX_SHARDS=0\nPHASE_SILENCE_LIMIT=2h\n"
    )
    with pytest.raises(SettingsError) as refused:
        configure({"CONTAINER_MEMORY": "1k", "API_CLIENT_SECRET": "a\nb"}, path)
    lower_it = "Lower it, or raise PHASE_TIME_LIMIT."
    assert str(refused.value).splitlines() == [
        "7 settings cannot be used:",
        f"  MOONMIND_PORT ({path}, line 1): is not a whole number from 1 to 65535.",
        f"  {path}, line 2: is not a NAME=value line. Correct it, or comment it out with #.",
        f"  {path}, line 3: is not valid UTF-8. Save the file as UTF-8.",
        f"  CODEX_SHARDS ({path}, line 4): is not a whole number from 1 to 64.",
        f"  PHASE_SILENCE_LIMIT ({path}, line 5): is longer than PHASE_TIME_LIMIT (2h > 45m). {lower_it}",
        "  API_CLIENT_SECRET (environment): contains a line break.",
        "  CONTAINER_MEMORY (environment): is less than 64m.",
    ]


def test_a_problem_of_a_named_file_has_the_line_that_names_it(tmp_path: Path) -> None:
    """The variable is the one in the line."""
    path = file(tmp_path, "\nGITHUB_TOKEN_FILE=/nowhere/token\n")
    with pytest.raises(SettingsError, match=rf"GITHUB_TOKEN_FILE \({path}, line 2\): cannot be read"):
        configure({}, path)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    """Some editors put one at the beginning; Windows ends lines with CR and LF."""
    path = tmp_path / "my.env"
    path.write_bytes(b"\xef\xbb\xbfMOONMIND_PORT=5001\r\nCODEX_SHARDS=2\r\n")
    assert read_env_file(path).values == {"MOONMIND_PORT": "5001", "CODEX_SHARDS": "2"}


def test_a_misspelled_name_is_noticed() -> None:
    """Names that are not similar to a setting are ignored."""
    names = ["GITHUB_TOKN", "CODEX_SHARD", "HTTPS_PROXY", "PATH", "GITHUB_TOKEN_FILE", "API_CLIENT_SECRET"]
    assert misspelled(names) == [("GITHUB_TOKN", "GITHUB_TOKEN"), ("CODEX_SHARD", "CODEX_SHARDS")]


def test_every_problem_of_the_settings_is_reported_at_once(terminal: Terminal) -> None:
    """Each problem has a hint, and the exit code is that of settings."""
    called = terminal.call("settings", MOONMIND_PORT="none", CODEX_SHARDS="0")
    assert called.code == 3
    assert called.stdout == ""
    assert "MOONMIND_PORT (environment): is not a whole number" in called.stderr
    assert "CODEX_SHARDS (environment): is not a whole number" in called.stderr


def test_settings_shows_values_as_the_docs_write_them(terminal: Terminal) -> None:
    """Sizes and times have units."""
    rows = {row["name"]: row["value"] for row in terminal.call("settings", "--json", STOP_GRACE="90").json}
    shown = [rows[name] for name in ("CONTAINER_MEMORY", "ARTIFACT_RETENTION", "STOP_GRACE", "CLONE_DEPTH")]
    assert shown == ["4g", "7d", "90s", "50"]
