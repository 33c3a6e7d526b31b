"""Which files Codex would use as a login."""

import json
from typing import Any

import pytest

from moonmind_appliance.agents.codex_login_file import login_facts


@pytest.mark.parametrize(
    ("content", "usable", "by_api_key"),
    [
        ({"tokens": {"access_token": "a", "refresh_token": "r"}}, True, False),
        ({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}, True, True),
        ({"tokens": {"access_token": "a"}}, False, False),
        ({"tokens": None, "OPENAI_API_KEY": None}, False, False),
        ({}, False, False),
        ([], False, False),
        ("x", False, False),
    ],
)
def test_valid_login_files(content: Any, *, usable: bool, by_api_key: bool) -> None:
    """A ChatGPT login has both tokens; an API key has none."""
    facts = login_facts(json.dumps(content).encode())
    assert (facts.usable, facts.by_api_key) == (usable, by_api_key)
