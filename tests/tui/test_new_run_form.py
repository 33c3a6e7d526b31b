"""The fields of the form are checked by the rules of the REST API."""

import pytest

from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from tests.known_tokens import REAL
from tui.drafts import Draft
from tui.new_run_form import check_draft, request_of, shard_choices, size_text

DRAFT = Draft(repository="acme/shop", specify_text="# Basket\n")
SETTINGS = Settings(spec_workflow_github_repository="acme/shop")


def test_blanks_around_names_are_removed_and_the_text_is_unchanged():
    """They are typing errors; in the text they have a meaning."""
    draft = Draft(repository=" acme/shop ", base_branch=" dev ", specify_text=" # A \n", external_ref="  ")
    request = request_of(draft)
    assert (request.repository, request.base_branch, request.external_ref) == ("acme/shop", "dev", None)
    assert request.specify_text == " # A \n"


@pytest.mark.parametrize(
    ("draft", "fields"),
    [
        (DRAFT, set()),
        (Draft(repository="shop"), {"repository", "specify_text"}),
        (Draft(repository="acme/shop", specify_text="x", base_branch="-"), {"base_branch"}),
        (Draft(repository="acme/shop", specify_text="x", shard=99), {"shard"}),
        (Draft(repository="acme/shop", specify_text="x" * (256 * 1024 + 1)), {"specify_text"}),
    ],
)
def test_each_problem_belongs_to_its_field(draft, fields):
    """As the API reports it."""
    assert set(check_draft(draft, Settings(), Redactor()).problems) == fields


def test_a_secret_in_any_field_is_found():
    """Such a draft must not be saved."""
    for field in ("repository", "specify_text", "base_branch", "external_ref"):
        assert check_draft(Draft(**{field: REAL}), Settings(), Redactor()).secret
    assert not check_draft(DRAFT, Settings(), Redactor()).secret


def test_the_size_is_that_of_the_bytes():
    """Also of half of a surrogate pair, which a terminal may send."""
    assert size_text("é" * 2060) == "4,120 of 262,144 bytes"
    assert size_text("\ud800") == "3 of 262,144 bytes"


def test_each_shard_has_its_state():
    """The first choice is any of them."""
    shards = [
        Shard(shard=0, login=LoginState.PRESENT, account_email="a@b.test"),
        Shard(shard=1, login=LoginState.PRESENT, by_api_key=True),
        Shard(shard=2, login=LoginState.DEAD),
        Shard(shard=3),
    ]
    assert shard_choices(shards) == [
        (None, "any"),
        (0, "0  a@b.test"),
        (1, "1  API key"),
        (2, "2  dead login: the run waits for a new one"),
        (3, "3  login not checked yet"),
    ]
