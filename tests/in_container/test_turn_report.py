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


def record(repository: Path, text: str) -> None:
    (repository / ".specify/feature.json").write_text(text)


def test_the_features_files_are_reported_by_their_path(repository: Path) -> None:
    """Bytes that are no UTF-8 are replaced; files that do not exist are left out."""
    record(repository, '{"feature_directory": "specs/001-a/"}')
    names = [".specify/feature.json", "{feature}/spec.md", "{feature}/plan.md"]
    assert files_to_report(repository, names) == {
        ".specify/feature.json": '{"feature_directory": "specs/001-a/"}',
        "specs/001-a/spec.md": "caf\ufffd",
    }


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "[" * 100_000, "{}", '{"feature_directory": ""}'])
def test_without_a_recorded_feature_its_files_are_left_out(repository: Path, text: str) -> None:
    """Whatever the agent wrote into the record."""
    record(repository, text)
    assert files_to_report(repository, ["{feature}/spec.md"]) == {}


def test_a_link_or_a_large_file_is_not_reported(repository: Path) -> None:
    """A link could lead to the login."""
    (repository / "link").symlink_to("/etc/passwd")
    (repository / "large").write_bytes(b"x" * (LARGEST_FILE + 1))
    assert files_to_report(repository, ["link", "large"]) == {}


def test_the_report_has_a_line_of_its_own(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The agent's last line may be incomplete. The login's content is not in it, only its digest."""
    login = repository / "auth.json"
    login.write_bytes(b"secret")
    report(repository, login, [], {"more": 1})
    empty, line = capsys.readouterr().out.splitlines()
    assert empty == ""
    assert json.loads(line) == {
        "type": "moonmind.report",
        "more": 1,
        "login_digest": hashlib.sha256(b"secret").hexdigest(),
        "files": {},
    }
