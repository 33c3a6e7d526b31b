"""A sign-in's container ends after the sign-in's process has ended."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container import end_after_silence


class Clock:
    """Each sleep takes its time at once, and is followed by the next write."""

    def __init__(self, file: Path, writes: int) -> None:
        self.file, self.writes, self.now = file, writes, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.writes:
            self.writes -= 1
            self.file.write_text(str(self.writes))


@pytest.mark.parametrize("writes", [0, 3, 50])
def test_it_ends_when_the_file_has_not_changed_for_that_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Also without any write, and not before."""
    clock = Clock(tmp_path / "alive", writes)
    monkeypatch.setattr(end_after_silence, "time", clock)
    assert end_after_silence.main({"file": str(tmp_path / "alive"), "seconds": 20.0}) == 0
    assert clock.now == end_after_silence.LOOK_SECONDS * writes + 20.0
