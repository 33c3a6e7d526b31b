"""The line that a turn's program prints after the agent's own."""

import hashlib
import json
from pathlib import Path

import pytest

from moonmind_appliance.in_container.turn_report import LARGEST_FILE, files_to_report, report


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repo/.specify").mkdir(parents=True)
    (tmp_path / "repo/specs/001-a").mkdir(parents=True)
    (tmp_path / "repo/specs/001-a/spec.md").write_bytes(b"caf\xe9")
    return tmp_path / "repo"


def test_the_features_files_are_reported_by_their_path(repository: Path) -> None:
    """Bytes that are no UTF-8 are replaced; files that do not exist are left out."""
    (repository / "README.md").write_text("hello")
    names = ["README.md", "{feature}/spec.md", "{feature}/plan.md"]
    assert files_to_report(repository, names, "specs/001-a") == {
        "README.md": "hello",
        "specs/001-a/spec.md": "caf\ufffd",
    }


def test_without_a_feature_its_files_are_left_out(repository: Path) -> None:
    """Also a file at the root with the name of one."""
    (repository / "spec.md").write_text("hello")
    assert files_to_report(repository, ["{feature}/spec.md"], None) == {}


def test_a_link_or_a_large_file_is_not_reported(repository: Path) -> None:
    """A link could lead to the login."""
    (repository / "link").symlink_to("/etc/passwd")
    (repository / "large").write_bytes(b"x" * (LARGEST_FILE + 1))
    assert files_to_report(repository, ["link", "large"], None) == {}


def test_the_report_has_a_line_of_its_own(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The agent's last line may be incomplete. The login's content is not in it, only its digest."""
    login = repository / "auth.json"
    login.write_bytes(b"secret")
    report(repository, login, [], {"more": 1}, feature="specs/001-a")
    empty, line = capsys.readouterr().out.splitlines()
    assert empty == ""
    assert json.loads(line) == {
        "type": "moonmind.report",
        "more": 1,
        "login_digest": hashlib.sha256(b"secret").hexdigest(),
        "feature": "specs/001-a",
        "feature_problem": "",
        "files": {},
    }
