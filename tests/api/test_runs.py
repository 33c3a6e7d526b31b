"""Submitting, listing, showing, cancelling and retrying runs over HTTP."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.models import (
    AgentInfo,
    FailureCode,
    LoginState,
    PhaseName,
    PhaseStatus,
    RunStatus,
    Shard,
    failure,
)
from moonmind_appliance.views.cursor import cursor_after, place_of
from tests.api.served import BASE, LEASE, REQUEST, Served, serve
from tests.shard_states import save_shard

RUN_FIELDS = [
    "run_id",
    "external_ref",
    "repository",
    "base_branch",
    "dry_run",
    "status",
    "waiting_for",
    "branch_name",
    "pull_request_url",
    "result_summary",
    "failure",
    "clarifications",
    "shard",
    "created_by",
    "accepted_at",
    "started_at",
    "completed_at",
]
PHASES = [
    "prepare_job",
    "start_job_container",
    "git_clone",
    "speckit_specify",
    "speckit_plan",
    "speckit_tasks",
    "commit_push",
    "open_pr",
    "cleanup",
]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_a_submitted_run_is_answered_with_202_and_its_address(served: Served) -> None:
    """The answer has these fields in this order, and a Location that works."""
    ann = served.client()
    answer = ann.post("/runs", json=REQUEST)
    body = answer.json()
    assert answer.status_code == 202
    assert list(body) == ["run_id", "status", "accepted_at"]
    assert body["status"] == "queued"
    assert RFC_3339.fullmatch(body["accepted_at"])
    assert answer.headers["location"] == f"{BASE}/runs/{body['run_id']}"
    assert ann.get(served.address + answer.headers["location"]).json()["accepted_at"] == body["accepted_at"]


def test_the_documents_own_payload_is_taken(served: Served) -> None:
    """The payload of the original instructions is accepted."""
    answer = served.client().post(
        "/runs",
        json={
            "repository": "MoonLadderStudios/moonmind",
            "base_branch": "main",
            "specify_text": "# Spec title\n\n- Goal: Validate automation from Postman",
            "dry_run": False,
            "external_ref": "postman-demo-001",
        },
    )
    assert answer.status_code == 202


def test_a_new_runs_detail_has_every_field_in_order(served: Served) -> None:
    """No field is left out: unknown values are null or empty."""
    run = served.client().get(f"/runs/{served.submit(external_ref='ci-1')}").json()
    assert list(run) == [*RUN_FIELDS, "phases", "artifacts", "agent", "specification_kept"]
    assert [phase["phase"] for phase in run["phases"]] == PHASES
    assert list(run["phases"][0]) == (
        ["phase", "status", "attempt", "started_at", "completed_at", "stdout_path", "stderr_path", "metadata"]
    )
    assert {phase["status"] for phase in run["phases"]} == {"pending"}
    empty = {"waiting_for", "branch_name", "pull_request_url", "result_summary", "failure", "shard", "started_at"}
    assert {name for name in RUN_FIELDS if run[name] is None} == empty | {"completed_at"}
    assert (run["clarifications"], run["artifacts"], run["agent"]) == ([], [], None)


def test_an_ended_runs_detail_has_its_result(served: Served) -> None:
    """It has branch, pull request, agent, clarifications, artifacts, and for a failure who acts and how."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(
        run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING, stdout_path="runs/x/artifacts/a", metadata={"n": 1}
    )
    served.store.progress.update(
        run_id,
        LEASE,
        branch_name="speckit/20260301/abc",
        pull_request_url="https://github.test/a/b/pull/1",
        clarifications=["Which colour?"],
        agent=AgentInfo("codex", "0.1", "3"),
    )
    kept = served.keep(run_id, "plan.log", b"planned")
    what = failure(FailureCode.PUSH_REJECTED, "GitHub refused the push.")
    served.store.progress.finish(
        run_id, LEASE, RunStatus.FAILED, now=datetime.now(UTC), result_summary="Refused.", failure=what
    )
    run = served.client().get(f"/runs/{run_id}").json()
    assert (run["status"], run["shard"], run["branch_name"]) == ("failed", 0, "speckit/20260301/abc")
    assert run["clarifications"] == ["Which colour?"]
    assert list(run["failure"]) == ["code", "who_acts", "message", "next_step", "retry_at"]
    assert (run["failure"]["code"], run["failure"]["who_acts"]) == ("push_rejected", "github_admin")
    assert run["agent"] == {"backend": "codex", "version": "0.1", "prompt_pack_version": "3"}
    assert run["phases"][0]["metadata"] == {"n": 1}
    assert RFC_3339.fullmatch(run["completed_at"])
    (artifact,) = run["artifacts"]
    assert list(artifact) == [
        "artifact_id",
        "name",
        "artifact_type",
        "storage_path",
        "content_type",
        "size_bytes",
        "expires_at",
    ]
    assert artifact["artifact_id"] == kept.artifact_id
    assert artifact["storage_path"] == f"runs/{run_id}/artifacts/plan.log"


def test_waiting_for_a_login_is_visible_at_once(served: Served) -> None:
    """The first GET after the 202 shows it, with exactly these fields."""
    for shard in range(3):
        save_shard(served.store, Shard(shard=shard, login=LoginState.ABSENT))
    run = served.client().get(f"/runs/{served.submit()}").json()
    assert (run["status"], run["waiting_for"]) == ("queued", {"reason": "login", "until": None})


def test_the_same_idempotency_key_gives_the_same_answer(served: Served) -> None:
    """The formatting of the body does not matter; the status is the run's current one."""
    ann, key = served.client(), {"Idempotency-Key": "order-1"}
    first = ann.post("/runs", json=REQUEST, headers=key)
    spelled = b'{ "specify_text" : "Add a basket.", "dry_run":false,\n"repository":"acme\\/shop" }'
    again = ann.post("/runs", content=spelled, headers=key | {"Content-Type": "application/json"})
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert len(ann.get("/runs").json()["items"]) == 1


def test_cancel_and_retry_answer_202_with_the_run(served: Served) -> None:
    """A queued run is cancelled at once, and can be retried."""
    ann, run_id = served.client(), served.submit()
    cancelled, retried = ann.post(f"/runs/{run_id}/cancel"), ann.post(f"/runs/{run_id}/retry")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert (retried.status_code, retried.json()["status"]) == (202, "queued")
    assert retried.headers["location"] == f"{BASE}/runs/{run_id}"


def test_a_list_is_newest_first_without_phases(served: Served) -> None:
    """Each item is a run's detail without its phases, artifacts and agent."""
    ids = [served.submit() for _ in range(3)]
    page = served.client().get("/runs").json()
    assert list(page) == ["items", "next_cursor"]
    assert page["next_cursor"] is None
    assert [run["run_id"] for run in page["items"]] == ids[::-1]
    assert list(page["items"][0]) == RUN_FIELDS


def test_new_runs_do_not_move_the_pages(served: Served) -> None:
    """The cursors give every run that existed at the start once, also if others are submitted meanwhile."""
    ids = [served.submit() for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = served.client().get("/runs", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["run_id"] for run in page["items"]]
        served.submit()
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]


def test_filters_narrow_the_list(served: Served) -> None:
    """By status, by repository in any case, by external reference; all at once."""
    ann = served.client()
    one = served.submit(repository="Acme/Shop", external_ref="a&b")
    two = served.submit(repository="acme/api", external_ref="a&b")
    ann.post(f"/runs/{two}/cancel")

    def listed(**filters: str) -> list[str]:
        return [run["run_id"] for run in ann.get("/runs", params=filters).json()["items"]]

    assert listed(status="cancelled") == [two]
    assert listed(repository="ACME/shop") == [one]
    assert listed(external_ref="a&b") == [two, one]
    assert listed(external_ref="a&b", status="queued", repository="acme/shop") == [one]
    assert listed(external_ref="a") == []


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_leads_back_to_its_run(accepted_at: datetime, run_id: object) -> None:
    """It is exact to the microsecond, and valid in a URL."""
    cursor = cursor_after(accepted_at, str(run_id))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert place_of(cursor) == (accepted_at, str(run_id))


def test_options_names_the_methods(served: Served) -> None:
    """It also lists both methods of a path with two."""
    answer = served.client().options("/runs")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_a_request_id_is_returned_or_created(served: Served) -> None:
    """A valid id of the caller is returned; otherwise a new one is created."""
    ann = served.client()
    assert ann.get("/runs", headers={"X-Request-ID": "job-7.a_b"}).headers["x-request-id"] == "job-7.a_b"
    for bad in ("a b", "x" * 129, "a;b", ""):
        assert re.fullmatch(r"[0-9a-f]{32}", ann.get("/runs", headers={"X-Request-ID": bad}).headers["x-request-id"])


def test_each_request_leaves_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has method, path as sent, status and id; never the query, never the token."""
    caplog.set_level(logging.INFO, "moonmind_appliance.api.app")
    with serve(tmp_path) as served:
        served.client().get("/runs/a%0Ab?external_ref=private", headers={"X-Request-ID": "line-1"})
    # Not the lines of the test's own client.
    lines = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    (line,) = [line for line in lines if "line-1" in line]
    assert line.startswith(f"GET {BASE}/runs/a%0Ab 404 in ")
    assert not [line for line in lines if "private" in line or served.tokens["ann"] in line]


def test_a_caller_over_a_limit_gets_429_and_when_to_retry(tmp_path: Path) -> None:
    """The answer has `Retry-After`. A repeat of a submission is answered as before."""
    with serve(tmp_path, max_submissions_per_minute=2) as served:
        ann, key = served.client(), {"Idempotency-Key": "one"}
        first = ann.post("/runs", json=REQUEST, headers=key)
        assert ann.post("/runs", json=REQUEST).status_code == 202
        refused = ann.post("/runs", json=REQUEST)
        assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
        assert refused.json()["code"] == "too_many_submissions"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "MAX_SUBMISSIONS_PER_MINUTE" in refused.json()["detail"]
        again = ann.post("/runs", json=REQUEST, headers=key)
        assert (again.status_code, again.json()["run_id"]) == (202, first.json()["run_id"])
        assert served.client("bob").post("/runs", json=REQUEST).status_code == 202
