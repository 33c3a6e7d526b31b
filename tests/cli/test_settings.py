"""`settings`: every setting with its value and source."""

from pathlib import Path

from tests.cli.terminal import Terminal


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.env"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_shows_values_and_sources_and_no_secret(terminal: Terminal, tmp_path: Path) -> None:
    """The table and the JSON contain no secret."""
    path = file(tmp_path, "GITHUB_TOKEN=ghp_verysecretvalue\nMOONMIND_PORT=5001\n")
    called = terminal.call("settings", "--json", "--env-file", str(path))
    rows = {row["name"]: row for row in called.json}
    assert (rows["GITHUB_TOKEN"]["value"], rows["GITHUB_TOKEN"]["source"]) == ("***", "env file")
    assert (rows["MOONMIND_PORT"]["value"], rows["MOONMIND_PORT"]["source"]) == ("5001", "env file")
    shown = terminal.call("settings", "--env-file", str(path))
    assert "ghp_verysecret" not in shown.stdout + called.stdout
    assert f"Env file: {path}" in shown.stdout
