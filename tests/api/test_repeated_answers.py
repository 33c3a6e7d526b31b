"""An answer is sent again to the same request only while nothing has changed."""

import time
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.api.known_callers import KnownCaller
from moonmind_appliance.api.repeated_answers import Answer, RepeatedAnswers, key_of
from moonmind_appliance.models import Actor, Authenticated, RunStatus
from tests.api.served import Served, serve

VERSION = (1, 7)
ANN = Authenticated(Actor("local:ann", "ann"))
TOKEN = (b"authorization", b"Bearer ann")


def _scope(path: bytes = b"/runs", query: bytes = b"", *headers: tuple[bytes, bytes], method: str = "GET") -> Any:
    return {"method": method, "raw_path": path, "query_string": query, "headers": [TOKEN, *headers]}


def _answer(body: bytes = b"{}", caller: Authenticated = ANN, seconds: float = 20) -> Answer:
    known = KnownCaller(caller, VERSION, time.monotonic() + seconds)
    return Answer([(b"content-type", b"application/json")], body, "/runs", VERSION, known)


@pytest.fixture
def read(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that handlers have read; empty if an answer was sent again."""
    calls: list[str] = []
    from moonmind_appliance.api import runs  # noqa: PLC0415 - the module whose name is replaced

    real = runs.run_detail
    monkeypatch.setattr(runs, "run_detail", lambda *args: calls.append(args[2]) or real(*args))
    del served
    return calls


def test_the_same_request_gets_the_same_answer_without_a_read(served: Served, read: list[str]) -> None:
    """Each has an id of its own, and both are counted."""
    run_id = served.submit()
    client = served.client()
    answers = [client.get(f"/runs/{run_id}") for _ in range(3)]
    assert len(read) == 1
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    heads = [{name: value for name, value in answer.headers.items() if name != "x-request-id"} for answer in answers]
    assert heads[0].keys() == heads[1].keys() == heads[2].keys()
    assert (heads[1]["cache-control"], heads[1]["content-type"]) == ("no-store", "application/json")
    counted = served.client("olga").get("/metrics").text
    assert 'moonmind_http_requests_total{method="GET",route="/api/spec-automation/runs/{run_id}",status="200"} 3.0' in (
        counted
    )


def test_each_change_of_the_database_is_seen_at_once(served: Served, read: list[str]) -> None:
    """Whoever made it."""
    run_id = served.submit()
    client = served.client()
    assert client.get(f"/runs/{run_id}").json()["status"] == "queued"
    served.take(run_id)
    assert client.get(f"/runs/{run_id}").json()["status"] == "in_progress"
    served.finish(run_id, RunStatus.SUCCEEDED)
    assert client.get(f"/runs/{run_id}").json()["status"] == "succeeded"
    assert len(read) == 3


def test_nobody_gets_the_answer_of_another(served: Served) -> None:
    """Another token is another request."""
    run_id = served.submit()
    assert served.client().get(f"/runs/{run_id}").status_code == 200
    assert served.client("bob").get(f"/runs/{run_id}").status_code == 404
    assert served.client(None).get(f"/runs/{run_id}").status_code == 401
    served.store.tokens.revoke("ann")
    assert served.client().get(f"/runs/{run_id}").status_code == 401


def test_an_expired_token_gets_none(tmp_path: Path) -> None:
    """Its answer was kept while it was valid."""
    until = time.time() + 1.0

    def authenticate(_: str) -> Authenticated | None:
        caller = Authenticated(ANN.actor, until)
        return None if caller.expired() else caller

    with serve(tmp_path, authenticate=authenticate) as served:
        client = served.client()
        assert client.get("/runs").status_code == 200
        time.sleep(max(0.0, until - time.time()))
        assert client.get("/runs").status_code == 401


def test_errors_are_not_kept(served: Served) -> None:
    """A run that appears later is found."""
    client = served.client()
    run_id = "5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11"
    assert [client.get(f"/runs/{run_id}").status_code for _ in range(2)] == [404, 404]
    assert client.get("/runs", params={"limit": 0}).status_code == 400


def test_head_has_no_body(served: Served) -> None:
    """Also after a GET of the same address."""
    run_id = served.submit()
    client = served.client()
    assert client.get(f"/runs/{run_id}").content
    answer = client.head(f"/runs/{run_id}")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "other",
    [
        _scope(b"/runs/1"),
        _scope(b"/runs", b"limit=1"),
        _scope(b"/runs", b"", (b"accept", b"text/html")),
        {"method": "GET", "raw_path": b"/runs", "query_string": b"", "headers": [(b"authorization", b"Bearer bob")]},
        # The same bytes, divided in another way.
        _scope(b"/run", b"s"),
    ],
)
def test_every_difference_of_requests_counts(other: Any) -> None:
    """Address, query, and each header."""
    assert key_of(other) != key_of(_scope())


def test_the_callers_request_id_does_not_count() -> None:
    """It differs each time."""
    assert key_of(_scope(b"/runs", b"", (b"x-request-id", b"1"))) == key_of(_scope())


def test_only_a_get_with_a_token_has_a_key() -> None:
    """Nothing is kept for a caller without a token."""
    assert key_of(_scope(method="POST")) is None
    assert key_of({**_scope(), "headers": []}) is None


def test_old_large_and_expired_answers_are_not_sent_again() -> None:
    """Nor one of another version of the database, or if there is no version."""
    answers = RepeatedAnswers()
    answers.keep(b"good", _answer())
    answers.keep(b"old", _answer(seconds=0))
    answers.keep(b"expired", _answer(caller=Authenticated(ANN.actor, time.time())))
    answers.keep(b"large", _answer(b"x" * (256 * 1024 + 1)))
    assert answers.find(b"good", VERSION) is not None
    assert [answers.find(key, VERSION) for key in (b"old", b"expired", b"large", b"unknown")] == [None] * 4
    assert [answers.find(b"good", version) for version in ((1, 8), (2, 7), None)] == [None] * 3


def test_answers_of_an_earlier_version_are_not_kept() -> None:
    """They would only use memory: a version does not come back."""
    answers = RepeatedAnswers()
    answers.keep(b"old", _answer())
    answers.keep(b"new", _answer()._replace(version=(1, 8)))
    assert answers.find(b"old", VERSION) is None
    assert answers.find(b"new", (1, 8)) is not None


def test_the_memory_is_limited() -> None:
    """The answer that was used longest ago goes first."""
    answers = RepeatedAnswers(most_bytes=10_000)
    for number in range(5):
        answers.keep(b"%d" % number, _answer(b"x" * 3000))
    assert [number for number in range(5) if answers.find(b"%d" % number, VERSION)] == [3, 4]
