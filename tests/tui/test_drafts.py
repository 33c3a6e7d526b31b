"""The draft of the new-run form."""

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
    """Every field."""
    file.save(DRAFT)
    assert file.load() == DRAFT


def test_only_the_owner_may_read_it(file):
    """The file and the folder that was made for it."""
    file.save(DRAFT)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_a_failed_save_keeps_the_older_draft(file, monkeypatch):
    """And leaves no half file behind."""
    file.save(DRAFT)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        file.save(Draft(repository="acme/other"))
    assert file.load() == DRAFT
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize("content", [b"", b"{", b'{"shard": "any"}', b"[]", b"\xff"])
def test_a_file_that_is_no_draft_counts_as_none(file, content):
    """The form opens empty then."""
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    assert file.load() is None


def test_a_link_is_not_followed(file, tmp_path):
    """It could name another user's file."""
    elsewhere = DraftFile(tmp_path / "elsewhere.json")
    elsewhere.save(DRAFT)
    file.path.parent.mkdir()
    file.path.symlink_to(elsewhere.path)
    assert file.load() is None


def test_a_named_pipe_does_not_block(file):
    """It is no draft."""
    file.path.parent.mkdir()
    os.mkfifo(file.path)
    assert file.load() is None


def test_clearing_is_safe_twice(file):
    """A submitted draft is gone."""
    file.save(DRAFT)
    file.clear()
    file.clear()
    assert file.load() is None


def test_half_of_a_surrogate_pair_does_not_lose_the_rest(file):
    """It is replaced, as it cannot be written."""
    file.save(Draft(specify_text="a\ud800b"))
    assert file.load() == Draft(specify_text="a?b")


def test_the_draft_belongs_to_the_user():
    """State folder, else the home's, else the data folder."""
    data = Path("/data")
    paths = [
        str(draft_file(data, environment).path.parent)
        for environment in ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, {"XDG_STATE_HOME": "s", "HOME": "/h"}, {})
    ]
    assert paths == ["/s/moonmind-appliance", "/h/.local/state/moonmind-appliance", "/data/moonmind-appliance"]


def test_a_draft_with_the_defaults_alone_is_empty():
    """A changed branch or shard is nothing that would be missed."""
    assert Draft(base_branch="next", shard=1).empty
    assert not Draft(specify_text="x").empty


def test_two_drafts_are_the_same_whenever_they_were_saved():
    """Only the fields count."""
    later = msgspec.structs.replace(DRAFT, saved_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert DRAFT.same_as(later)
    assert not DRAFT.same_as(msgspec.structs.replace(later, shard=0))
