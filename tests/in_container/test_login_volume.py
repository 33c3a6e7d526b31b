"""A login is stored and removed whatever an agent left in its volume."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container.login_volume import clean
from tests.in_container.login_volumes import NO_LOGINS, in_place


@pytest.mark.parametrize("made", [name for name in NO_LOGINS if name != "a file that is too large"])
def test_only_regular_files_of_that_name_survive(volume: Path, made: str) -> None:
    """A folder, a link or a pipe with the login's name is removed like everything else."""
    in_place(volume, NO_LOGINS[made])
    (volume / "agent.env").write_text("KEY=value")
    clean(volume)
    assert [path.name for path in volume.iterdir()] == ["agent.env"]
