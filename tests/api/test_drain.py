"""Drain and resume over HTTP."""

from typing import Any

from tests.api.served import Served


def test_drain_and_resume(served: Served) -> None:
    """Each is safe twice. A submission is accepted meanwhile, and its response says what it waits for."""
    olga = served.client("olga")
    run_id = served.submit()
    served.take(run_id)
    for _ in range(2):
        state: dict[str, Any] = olga.put("/drain").json()
        assert (list(state), state["running"], state["queued"]) == (["drained_at", "running", "queued"], [run_id], 0)
        assert state["drained_at"] is not None
    assert olga.get("/drain").json() == state
    waiting = served.client().get(f"/runs/{served.submit()}").json()
    assert (waiting["status"], waiting["waiting_for"]) == ("queued", {"reason": "drained", "until": None})
    assert "moonmind_drained 1.0" in olga.get("/metrics").text
    for _ in range(2):
        assert olga.delete("/drain").json() == {"drained_at": None, "running": [run_id], "queued": 1}
    assert served.client().get(f"/runs/{waiting['run_id']}").json()["waiting_for"] is None
    assert "moonmind_drained 0.0" in olga.get("/metrics").text


def test_it_is_for_operators(served: Served) -> None:
    """Other callers are refused, and nothing changes."""
    for method in ("GET", "PUT", "DELETE"):
        answer = served.client().request(method, "/drain")
        assert (answer.status_code, answer.json()["code"]) == (403, "operator_only")
        assert served.client(None).request(method, "/drain").status_code == 401
    assert served.store.drain.since() is None


def test_the_allowed_methods(served: Served) -> None:
    """OPTIONS and a refused method list all of them."""
    olga = served.client("olga")
    allowed = "DELETE, GET, HEAD, OPTIONS, PUT"
    assert olga.options("/drain").headers["allow"] == allowed
    refused = olga.post("/drain")
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
