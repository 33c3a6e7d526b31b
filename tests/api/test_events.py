"""Following a run over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx

from moonmind_appliance.api.events import STREAMS_OF_ONE
from moonmind_appliance.api.parts import Pace
from moonmind_appliance.models import PhaseName, PhaseStatus
from tests.api.served import Served, serve


def events(answer: httpx.Response) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Id, name and data of each event, as a browser parses them."""
    event: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            yield event["id"], event["event"], json.loads(event["data"])
            event = {}


def test_the_stream_contains_all_events_of_a_run(served: Served) -> None:
    """Past events come first, then new ones as they happen; the stream ends after `end`."""
    run_id = served.submit()
    seen: list[object] = []
    with served.client().stream("GET", f"/runs/{run_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        for _, name, data in events(answer):
            seen.append(data.get("line") or data.get("kind") or name)
            if seen[-1] == "run.queued":
                served.take(run_id)
                log = served.parts.resources.files.open(run_id, "plan.log", served.parts.resources.redactor)
                served.phase(run_id, PhaseName.SPECKIT_PLAN, PhaseStatus.RUNNING, stdout_path=log.storage_path)
            elif seen[-1] == "phase.running":
                log.write(b"thinking\n")
            elif seen[-1] == "thinking":
                log.close()
                served.phase(run_id, PhaseName.SPECKIT_PLAN, PhaseStatus.SUCCEEDED, stdout_path=log.storage_path)
                served.finish(run_id)
    assert seen == [
        "run.queued",
        "run.claimed",
        "phase.running",
        "thinking",
        "phase.succeeded",
        "run.succeeded",
        "end",
    ]


def test_the_last_event_id_resumes_and_ends_with_204(served: Served) -> None:
    """By the standard, 204 asks a browser not to reconnect."""
    run_id = served.submit()
    served.take(run_id)
    served.finish(run_id)
    ann, path = served.client(), f"/runs/{run_id}/events"
    with ann.stream("GET", path) as answer:
        ids = [(event_id, name) for event_id, name, _ in events(answer)]
    with ann.stream("GET", path, headers={"Last-Event-ID": ids[0][0]}) as answer:
        assert [(event_id, name) for event_id, name, _ in events(answer)] == ids[1:]
    assert ann.get(path, headers={"Last-Event-ID": ids[-1][0]}).status_code == 204


def test_a_retried_run_continues_the_stream_of_ids(served: Served) -> None:
    """A client that received the end can follow the events after it."""
    run_id = served.submit()
    ann, path = served.client(), f"/runs/{run_id}/events"
    ann.post(f"/runs/{run_id}/cancel")
    with ann.stream("GET", path) as answer:
        last = [event_id for event_id, _, _ in events(answer)][-1]
    ann.post(f"/runs/{run_id}/retry")
    with ann.stream("GET", path, headers={"Last-Event-ID": last}) as answer:
        assert next(events(answer))[2]["kind"] == "run.retried"


def test_an_invalid_event_id_is_400(served: Served) -> None:
    """The error names the header."""
    answer = served.client().get(f"/runs/{served.submit()}/events", headers={"Last-Event-ID": "x;y"})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["Last-Event-ID"]


def test_streams_are_counted_and_released(served: Served) -> None:
    """A caller over the limit gets 429 with a time; a closed stream can be replaced."""
    path = f"/runs/{served.submit()}/events"
    ann = served.client()
    with ExitStack() as open_streams:
        for _ in range(STREAMS_OF_ONE):
            answer = open_streams.enter_context(ann.stream("GET", path))
            assert answer.status_code == 200
        refused = ann.get(path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert int(refused.headers["retry-after"]) > 0
        with served.client("olga").stream("GET", path) as answer:
            assert answer.status_code == 200
    while open_count(served) > 0:
        threading.Event().wait(0.02)
    with ann.stream("GET", path) as answer:
        assert answer.status_code == 200


def open_count(served: Served) -> float:
    text = served.client("olga").get("/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith("moonmind_event_streams ")).split()[1])


def test_head_of_a_stream_ends_at_once(served: Served) -> None:
    """It has the stream's headers and leaves no stream open."""
    answer = served.client().head(f"/runs/{served.submit()}/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    while open_count(served) > 0:
        threading.Event().wait(0.02)


def test_a_stopping_server_ends_its_streams(tmp_path: Path) -> None:
    """The stream ends complete and without an error; clients reconnect with the last id."""
    with serve(tmp_path) as served:
        path = f"/runs/{served.submit()}/events"
        with served.client().stream("GET", path) as answer:
            seen = []
            for _, name, _ in events(answer):
                seen.append(name)
                served.parts.resources.stopping.set()
    assert seen == ["run"]


def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    """A stream ends after its token is revoked."""
    with serve(tmp_path, pace=Pace(ask_token_every=0.0)) as served:
        path = f"/runs/{served.submit()}/events"
        with served.client().stream("GET", path) as answer:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if line.startswith("data"):
                    served.store.tokens.revoke("ann")
    assert ": the token is not valid any more" in lines


def test_a_quiet_stream_sends_comments(tmp_path: Path) -> None:
    """Regular comments prevent proxies from closing it."""
    with serve(tmp_path, pace=Pace(heartbeat_every=0.0)) as served:
        path = f"/runs/{served.submit()}/events"
        with served.client().stream("GET", path) as answer:
            assert ": still here" in answer.iter_lines()


def test_a_stream_ends_complete_when_the_database_fails(tmp_path: Path) -> None:
    """Clients reconnect with the last id; the log has the reason."""
    with serve(tmp_path) as served:
        path = f"/runs/{served.submit()}/events"
        with served.client().stream("GET", path) as answer:
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if line.startswith("data"):
                    served.store.close()
    assert ": the database cannot be read now" in lines
