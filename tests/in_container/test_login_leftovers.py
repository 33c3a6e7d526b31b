"""What is beside a login is measured and removed; the login is not."""

import json
from pathlib import Path

import pytest

from moonmind_appliance.in_container import login_leftovers
from tests.in_container.login_volumes import LOGIN, PLANTED


def left(volume: Path, capsys: pytest.CaptureFixture[str], *, remove: bool) -> tuple[int, int]:
    assert login_leftovers.main({"folder": str(volume), "remove": remove}) == 0
    found = json.loads(capsys.readouterr().out)
    return found["bytes"], found["files"]


def test_codexs_sessions_and_logs(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted with their folders; gone after the removal, with the login unchanged."""
    (volume / "sessions/2026/11/27").mkdir(parents=True)
    (volume / "sessions/2026/11/27/rollout-1.jsonl").write_bytes(b"x" * 50_000)
    (volume / "history.jsonl").write_bytes(b"y" * 5_000)
    (volume / "agent.env").write_text("KEY=value")
    for remove in (False, True):
        size, files = left(volume, capsys, remove=remove)
        assert files == 6
        assert 55_000 <= size < 110_000
    assert left(volume, capsys, remove=True) == (0, 0)
    assert sorted(path.name for path in volume.iterdir()) == ["agent.env", "auth.json"]
    assert (volume / "auth.json").read_bytes() == LOGIN


@pytest.mark.parametrize("planted", PLANTED)
def test_whatever_an_agent_planted(volume: Path, capsys: pytest.CaptureFixture[str], planted: str) -> None:
    """Is found and removed."""
    PLANTED[planted](volume)
    _, files = left(volume, capsys, remove=True)
    assert files > 0
    assert [path.name for path in volume.iterdir()] == ["auth.json"]


def test_an_empty_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first login."""
    assert left(tmp_path, capsys, remove=True) == (0, 0)
