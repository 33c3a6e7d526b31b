"""A short schedule of kills on the real appliance; `tests/faults/run` runs long ones."""

import pytest

from tests.faults.kills import harness
from tests.faults.options import Options

pytestmark = [pytest.mark.docker, pytest.mark.image]


def test_a_short_schedule_of_kills_loses_and_leaves_nothing(tmp_path) -> None:
    """Six kills while runs execute on two shards: at the end every invariant is true."""
    lines: list[str] = []
    report = harness(Options(folder=tmp_path, seed=24, count=6, shards=2, think=0.0, retention="10m", say=lines.append))
    assert report.violations == [], lines
    assert sum(report.kills.values()) >= 6
    assert report.submitted > 0
    assert report.interrupted > 0
