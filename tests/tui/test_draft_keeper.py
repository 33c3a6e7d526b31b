"""How the form's draft is checked and saved while it is typed."""

from datetime import UTC, datetime

import pytest

from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from tests.known_tokens import REAL
from tui.draft_keeper import DraftKeeper
from tui.drafts import Draft, DraftFile

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DRAFT = Draft(repository="acme/shop", specify_text="# Basket\n")


@pytest.fixture
def file(tmp_path):
    return DraftFile(tmp_path / "state" / "draft.json")


@pytest.fixture
def keeper(file):
    return DraftKeeper(file, Settings(), Redactor(), lambda: NOW)


def test_a_draft_is_checked_and_saved(keeper, file):
    """With the time; an unchanged draft is not written again."""
    looked = keeper.check_and_save(DRAFT)
    assert (looked.checked.problems, looked.problem, looked.draft.saved_at) == ({}, "", NOW)
    file.clear()
    keeper.check_and_save(DRAFT)
    assert file.load() is None


def test_a_draft_with_problems_is_saved_too(keeper, file):
    """The user has not finished it yet."""
    looked = keeper.check_and_save(Draft(repository="shop"))
    assert set(looked.checked.problems) == {"repository", "specify_text"}
    assert file.load().repository == "shop"


def test_a_secret_is_not_saved(keeper, file):
    """The previously saved draft stays."""
    keeper.check_and_save(DRAFT)
    looked = keeper.check_and_save(Draft(repository="acme/shop", specify_text=REAL))
    assert looked.problem == "it contains a secret"
    assert file.load().specify_text == "# Basket\n"


def test_an_emptied_form_has_no_draft(keeper, file):
    """Its file is removed."""
    keeper.check_and_save(DRAFT)
    keeper.check_and_save(Draft())
    assert file.load() is None
    assert keeper.load() is None


def test_a_submitted_draft_does_not_come_back(keeper, file):
    """Also if a check began before the submit and ends after it."""
    keeper.check_and_save(DRAFT)
    keeper.forget()
    keeper.check_and_save(Draft(repository="acme/shop", specify_text="# Late\n"))
    assert file.load() is None


def test_a_failed_save_is_reported(keeper, file):
    """The form shows that the draft is not saved."""
    file.path.parent.mkdir()
    file.path.mkdir()
    assert keeper.check_and_save(DRAFT).problem != ""
    keeper.forget()
