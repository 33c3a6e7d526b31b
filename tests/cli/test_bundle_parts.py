"""Each part of a support bundle is collected alone."""

import threading
from pathlib import Path

import pytest

from moonmind_appliance.cli import bundle_parts
from moonmind_appliance.cli.bundle_parts import Part, collected, file_tail, machine, service_log
from moonmind_appliance.errors import StoreError


def test_a_part_that_fails_says_why() -> None:
    """With the message of the error, or the type of a defect."""

    def refuse() -> None:
        raise StoreError("It is locked.", hint="Wait.")

    def defect() -> None:
        raise KeyError("x")

    assert collected(Part("a", "", refuse)) == {"not_collected": "It is locked. Wait."}
    assert collected(Part("a", "", defect)) == {"not_collected": "KeyError: 'x'"}


def test_a_part_that_hangs_is_left_behind() -> None:
    """With what it has found so far."""
    over, found = threading.Event(), []

    def hang() -> list[str]:
        found.append("first")
        over.wait(60)
        return found

    result = collected(Part("a", "", hang, 0.1, found))
    over.set()
    assert result == {"not_collected": "It was not complete within 0 s.", "so_far": ["first"]}


def test_the_end_of_a_large_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest lines matter."""
    monkeypatch.setattr(bundle_parts, "MOST_BYTES", 4)
    (tmp_path / "log").write_bytes(b"123456")
    assert file_tail(tmp_path / "log") == b"3456"


def test_a_machine_without_a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle says where the log is."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "docker compose logs" in service_log()


def test_the_journal_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of its unit, limited, and never waiting for input."""
    tool = tmp_path / "journalctl"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "--unit moonmind-appliance --lines 5000 --no-pager" in service_log()


def test_the_machine() -> None:
    """What a bug report needs of it."""
    found = machine()
    assert found["sqlite"].startswith("3.")
    assert found["cpus"] >= 1
