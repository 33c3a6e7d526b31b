"""The file of the new-run form's draft."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tui.drafts import Draft, DraftFile, draft_file

DRAFT = Draft(repository="acme/shop", specify_text="# Basket\n", dry_run=True, shard=1, external_ref="r-1")


@pytest.fixture
def file(tmp_path):
    return DraftFile(tmp_path / "state" / "draft.json")


def test_a_draft_is_read_back_as_it_was_saved(file):
    """Every field is equal."""
    file.save(DRAFT)
    assert file.load() == DRAFT


def test_only_the_owner_can_read_a_draft(file):
    """The file, and a folder created for it."""
    file.save(DRAFT)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_a_failed_save_keeps_the_older_draft(file, monkeypatch):
    """No partial file is left."""
    file.save(DRAFT)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        file.save(Draft(repository="acme/other"))
    assert file.load() == DRAFT
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"shard": "any"}', b"[]", b"\xff", b'{"repository": "\xff"}', b"[" * 5000]
)
def test_an_invalid_draft_file_is_ignored(file, content):
    """The form opens empty."""
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    assert file.load() is None


def test_a_link_is_not_followed(file, tmp_path):
    """It could point to another user's file."""
    elsewhere = DraftFile(tmp_path / "elsewhere.json")
    elsewhere.save(DRAFT)
    file.path.parent.mkdir()
    file.path.symlink_to(elsewhere.path)
    assert file.load() is None


def test_a_named_pipe_does_not_block(file):
    """It counts as no draft."""
    file.path.parent.mkdir()
    os.mkfifo(file.path)
    assert file.load() is None


def test_clearing_is_safe_twice(file):
    """The draft's file is removed."""
    file.save(DRAFT)
    file.clear()
    file.clear()
    assert file.load() is None


def test_half_of_a_surrogate_pair_does_not_lose_the_rest(file):
    """It is replaced, because it cannot be encoded."""
    file.save(Draft(specify_text="a\ud800b"))
    assert file.load() == Draft(specify_text="a?b")


def test_the_draft_belongs_to_the_user():
    """It is in the state folder, else below the home folder, else in the data folder."""
    data = Path("/data")
    paths = [
        str(draft_file(data, environment).path.parent)
        for environment in ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, {"XDG_STATE_HOME": "s", "HOME": "/h"}, {})
    ]
    assert paths == ["/s/moonmind-appliance", "/h/.local/state/moonmind-appliance", "/data/moonmind-appliance"]


def test_a_draft_with_only_defaults_is_empty():
    """Changes of only branch or shard do not count."""
    assert Draft(base_branch="next", shard=1).empty
    assert not Draft(specify_text="x").empty


def test_the_save_time_does_not_distinguish_drafts():
    """Only the fields count."""
    later = msgspec.structs.replace(DRAFT, saved_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert DRAFT.same_as(later)
    assert not DRAFT.same_as(msgspec.structs.replace(later, shard=0))
