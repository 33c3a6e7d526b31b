"""Results go to stdout, everything else to stderr."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.text import Text

from moonmind_appliance.cli.invocation import Invocation


def test_json_is_the_only_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Structs and times are shown as in the API."""
    invocation = Invocation({}, as_json=True)
    invocation.print_result({"at": datetime(2026, 3, 1, tzinfo=UTC)}, Text("for people"))
    invocation.print_message("note")
    captured = capsys.readouterr()
    assert captured.out == '{\n  "at": "2026-03-01T00:00:00Z"\n}\n'
    assert captured.err == "note\n"
    assert invocation.progress is invocation.err


def test_people_get_the_text_without_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    """A result without a text prints nothing."""
    invocation = Invocation({})
    invocation.print_result({}, Text("a   \nb  "))
    invocation.print_result({})
    assert capsys.readouterr().out == "a\nb\n"
    assert invocation.progress is invocation.out


@pytest.mark.parametrize("verbose", [False, True])
def test_details_need_v(capsys: pytest.CaptureFixture[str], *, verbose: bool) -> None:
    """Messages of other people cannot control the terminal."""
    Invocation({}, verbose=verbose).print_detail("detail \x1b[2Jx")
    assert capsys.readouterr().err == ("detail x\n" if verbose else "")


def test_warnings_of_the_env_file_are_printed_if_the_settings_are_demanded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that only needs an address does not repeat them."""
    env_file = tmp_path / "appliance.env"
    env_file.write_text("MOONMIND_PRT=5001\n")
    env_file.chmod(0o600)
    invocation = Invocation({"MOONMIND_DATA_DIR": str(tmp_path)}, env_file=env_file)
    assert invocation.settings(demanded=False).moonmind_data_dir == tmp_path
    assert capsys.readouterr().err == ""
    invocation.settings()
    assert "MOONMIND_PRT" in capsys.readouterr().err
