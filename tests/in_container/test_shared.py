"""What the programs share: exit codes, and work on files that an agent may have replaced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moonmind_appliance.in_container.shared import answer, exit_code, read_regular, remove_entries
from tests.in_container.login_volumes import NO_LOGINS


def test_a_signal_gives_the_exit_code_of_a_shell() -> None:
    """128 and its number."""
    killed = subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], check=False)
    assert [exit_code(code) for code in (0, 7, killed.returncode)] == [0, 7, 137]


def test_an_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever characters it contains."""
    answer({"a": "\n\u2028\ud800"})
    assert capsys.readouterr().out.splitlines() == ['{"a": "\\n\\u2028\\ud800"}']


@pytest.mark.parametrize("made", NO_LOGINS)
def test_only_a_regular_file_is_read(tmp_path: Path, made: str) -> None:
    """No link is followed, and no pipe is waited for."""
    NO_LOGINS[made](tmp_path / "x")
    assert read_regular(tmp_path / "x", 1000) is None


def test_the_limit_is_the_largest_size(tmp_path: Path) -> None:
    """One byte more, a missing file, and a name that no file can have are None."""
    (tmp_path / "x").write_bytes(b"12345")
    assert read_regular(tmp_path / "x", 5) == b"12345"
    assert read_regular(tmp_path / "x", 4) is None
    assert read_regular(tmp_path / "absent", 4) is None
    assert read_regular(tmp_path / "with\0nul", 4) is None


def test_entries_are_removed_and_others_stay(tmp_path: Path) -> None:
    """More than fit one command line; a link's target stays; a name may look like an option."""
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    outside.write_text("x")
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "--help").write_text("x")
    for number in range(1500):
        os.close(os.open(folder / str(number), os.O_CREAT))
    (folder / "stays").write_text("x")
    remove_entries(folder, [path for path in folder.iterdir() if path.name != "stays"])
    assert [path.name for path in folder.iterdir()] == ["stays"]
    assert outside.read_text() == "x"
