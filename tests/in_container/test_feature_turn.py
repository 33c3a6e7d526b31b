"""How a turn gets and finds its feature."""

from pathlib import Path

from moonmind_appliance.in_container.feature_folder import RECORD
from moonmind_appliance.in_container.feature_turn import FeatureTurn


def test_a_turn_without_a_feature_finds_the_one_that_it_wrote(tmp_path: Path) -> None:
    """Only what was written inside the block."""
    (tmp_path / "specs/001-old").mkdir(parents=True)
    (tmp_path / "specs/001-old/spec.md").write_text("old\n")
    with FeatureTurn(tmp_path, None) as turn:
        (tmp_path / "specs/002-new").mkdir()
        (tmp_path / "specs/002-new/spec.md").write_text("new\n")
    assert (turn.directory, turn.problem) == ("specs/002-new", "")


def test_a_later_turn_works_on_that_feature(tmp_path: Path) -> None:
    """The record names it before the turn, whatever an earlier turn left."""
    (tmp_path / ".specify").mkdir()
    (tmp_path / RECORD).write_text('{"feature_directory": "specs/001-old"}')
    with FeatureTurn(tmp_path, "specs/002-new") as turn:
        assert "specs/002-new" in (tmp_path / RECORD).read_text()
    assert turn.directory == "specs/002-new"
