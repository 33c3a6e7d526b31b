"""One rule for repository names, in every interface."""

from pathlib import Path

import pytest

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.models.repository import is_repository
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.runs.submit import field_problems
from moonmind_appliance.settings import Settings, load
from tui.drafts import Draft
from tui.new_run_form import check_draft

VALID = ["mona_octo/shop", "a/b", "A-b-c/.github", "a/b_c.d-e", "octo_/x", "9/9", "a" * 39 + "/" + "b" * 100]
INVALID = [
    "_mona/shop",
    "-mona/shop",
    "mona-/shop",
    "mo--na/shop",
    "mona/shop.git",
    "mona/..",
    "mona/",
    "/shop",
    "mona/shop/tree",
    "mona.octo/shop",
    "m\u00f6na/shop",
    "a" * 40 + "/b",
    "a/" + "b" * 101,
]


def in_settings(slug: str) -> bool:
    try:
        return load({"SPEC_WORKFLOW_GITHUB_REPOSITORY": slug}).settings.spec_workflow_github_repository == (slug,)
    except SettingsError:
        return False


@pytest.mark.parametrize("slug", VALID + INVALID)
def test_every_interface_has_the_same_rule(tmp_path: Path, slug: str) -> None:
    """The settings, the API with the command line, and the TUI's form agree on each name."""
    settings = Settings(moonmind_data_dir=tmp_path)
    by_field = not field_problems({"repository": slug}, settings, Redactor())
    by_form = "repository" not in check_draft(Draft(repository=slug, specify_text="x"), settings, Redactor()).problems
    valid = slug in VALID
    assert (is_repository(slug), in_settings(slug), by_field, by_form) == (valid,) * 4


def test_the_setting_says_what_a_name_may_be() -> None:
    """With the API's message."""
    with pytest.raises(SettingsError) as caught:
        load({"SPEC_WORKFLOW_GITHUB_REPOSITORY": "acme/ok,_mona/shop"})
    (problem,) = caught.value.problems
    told = field_problems({"repository": "_mona/shop"}, Settings(), Redactor())[0].message
    assert problem.message == "contains '_mona/shop', which is not a valid GitHub repository."
    assert problem.hint.removeprefix("Use ") in told
