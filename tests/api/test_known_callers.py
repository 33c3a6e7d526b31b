"""A token that was checked a moment ago is known, until anything could make it invalid."""

import time
from pathlib import Path

import pytest

from moonmind_appliance.api.known_callers import KnownCallers
from moonmind_appliance.models import Actor, Authenticated
from tests.api.served import REQUEST, Served, serve

ANN = Authenticated(Actor("local:ann", "ann"))
VERSION = (1, 7)


def test_only_the_same_token_is_known() -> None:
    """Another token is not, nor is any at first."""
    known = KnownCallers()
    assert known.find("one", VERSION) is None
    assert known.add("one", VERSION, ANN).caller == ANN
    found = known.find("one", VERSION)
    assert found is not None
    assert found.caller == ANN
    assert known.find("two", VERSION) is None


@pytest.mark.parametrize("version", [(1, 8), (2, 7), None])
def test_a_change_of_tokens_ends_it(version: tuple[int, int] | None) -> None:
    """So does a version that cannot be read."""
    known = KnownCallers()
    known.add("one", VERSION, ANN)
    assert known.find("one", version) is None


def test_without_a_version_nothing_is_kept() -> None:
    """A revocation could not be noticed."""
    known = KnownCallers()
    known.add("one", None, ANN)
    assert known.find("one", None) is None


def test_its_expiry_ends_it() -> None:
    """To the second, like a check of the token."""
    known = KnownCallers()
    known.add("one", VERSION, Authenticated(ANN.actor, time.time() - 0.001))
    known.add("two", VERSION, Authenticated(ANN.actor, time.time() + 60))
    assert known.find("one", VERSION) is None
    assert known.find("two", VERSION) is not None


def test_it_is_checked_again_after_a_while() -> None:
    """A realm may withdraw a key, and a token's use is recorded every minute."""
    known = KnownCallers(kept_seconds=0.0)
    known.add("one", VERSION, ANN)
    assert known.find("one", VERSION) is None


def test_a_known_caller_is_not_checked_again(tmp_path: Path) -> None:
    """Not even after other changes in the database."""
    checked: list[str] = []

    def authenticate(token: str) -> Authenticated:
        checked.append(token)
        return ANN

    with serve(tmp_path, authenticate=authenticate) as served:
        client = served.client()
        assert [client.post("/runs", json=REQUEST).status_code for _ in range(3)] == [202] * 3
        assert len(checked) == 1
        served.client("bob").get("/runs")
        assert len(checked) == 2


def test_a_revocation_counts_with_the_next_request(served: Served) -> None:
    """For reads and writes."""
    client = served.client()
    assert client.get("/runs").status_code == 200
    assert client.post("/runs", json=REQUEST).status_code == 202
    served.store.tokens.revoke("ann")
    assert client.get("/runs").status_code == 401
    assert client.post("/runs", json=REQUEST).status_code == 401
