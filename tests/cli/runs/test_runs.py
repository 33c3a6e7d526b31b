"""`runs` over HTTP and on the data folder: the same output."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moonmind_appliance.models import FailureCode, PhaseName, PhaseStatus, RunStatus, failure
from tests.api.served import LEASE, Served
from tests.cli.terminal import Called, Terminal

SPEC = "# Basket\r\n\n- $speckit-tasks `$(id)` \u00e4\u2603\n"


def submit(terminal: Terminal, *words: str, text: str = SPEC) -> Called:
    called = terminal.call(
        "runs", "submit", "--repository", "acme/shop", "--spec", "-", "--json", *words, stdin=text.encode()
    )
    assert called.code == 0, called.stderr
    return called


def test_a_text_is_submitted_byte_for_byte(caller: Terminal, served: Served) -> None:
    """Line breaks, quotes and dollars are unchanged; the answer is the API's."""
    called = submit(caller, "--base-branch", "dev", "--dry-run", "--external-ref", "x-1", "--shard", "1")
    assert list(called.json) == ["run_id", "status", "accepted_at"]
    run = served.store.runs.get(called.json["run_id"])
    assert run is not None
    assert run.specify_text == SPEC
    assert (run.base_branch, run.dry_run, run.external_ref, run.shard_pin) == ("dev", True, "x-1", 1)


def test_a_file_is_submitted(caller: Terminal, served: Served, tmp_path: Path) -> None:
    """The output has the id and the next command."""
    path = tmp_path / "spec.md"
    path.write_bytes(SPEC.encode())
    called = caller.call("runs", "submit", "--repository", "acme/shop", "--spec", str(path))
    run = served.store.run_lists.queued()[0]
    assert called.stdout == (
        f"Run {run.run_id} is accepted.\nFollow it: moonmind-appliance runs watch {run.short_id}\n"
    )


def test_an_idempotency_key_gives_the_first_run_again(caller: Terminal) -> None:
    """With another request the key is refused."""
    first = submit(caller, "--idempotency-key", "k").json["run_id"]
    assert submit(caller, "--idempotency-key", "k").json["run_id"] == first
    other = caller.call(
        "runs", "submit", "--repository", "acme/other", "--spec", "-", "--idempotency-key", "k", stdin=SPEC
    )
    assert other.code == 1


def test_an_invalid_submission_is_reported_field_by_field(caller: Terminal) -> None:
    """The exit code is that of an invalid request."""
    called = caller.call("runs", "submit", "--repository", "acme", "--spec", "-", "--shard", "9", stdin=" ")
    assert called.code == 2
    assert called.stdout == ""
    assert [line.split(":")[0].strip() for line in called.stderr.splitlines()] == [
        "error",
        "repository",
        "specify_text",
        "shard",
    ]


def test_a_text_that_is_not_utf8_is_refused(caller: Terminal) -> None:
    """The encoding is not guessed."""
    called = caller.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin=b"caf\xe9")
    assert called.code == 2
    assert "is not valid UTF-8 (at byte 3)" in called.stderr


@pytest.mark.parametrize("size", [256 * 1024 + 1, 3 * 1024**2])
def test_a_text_that_is_too_long_is_refused(caller: Terminal, served: Served, size: int) -> None:
    """The command and the API give the same exit code, and nothing is stored."""
    called = caller.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin="x" * size)
    assert called.code == 2
    assert served.store.run_lists.queued() == []


def test_list_filters_and_pages(caller: Terminal, served: Served) -> None:
    """Filters, pages and cursors are the API's."""
    runs = [served.submit(external_ref=f"ref-{number}") for number in range(3)]
    page = caller.call("runs", "list", "--json", "--limit", "2").json
    assert [item["run_id"] for item in page["items"]] == [runs[2], runs[1]]
    rest = caller.call("runs", "list", "--json", "--cursor", page["next_cursor"]).json
    assert [item["run_id"] for item in rest["items"]] == [runs[0]]
    one = caller.call("runs", "list", "--json", "--external-ref", "ref-1", "--status", "queued").json
    assert [item["run_id"] for item in one["items"]] == [runs[1]]
    assert caller.call("runs", "list", "--repository", "acme/none").stdout == "No run matches.\n"


def test_a_run_is_named_by_its_beginning_or_as_latest(caller: Terminal, served: Served) -> None:
    """A name that is too short, unknown or ambiguous is reported."""
    first, latest = served.submit(), served.submit()
    assert caller.call("runs", "show", "latest", "--json").json["run_id"] == latest
    assert caller.call("runs", "show", first[:13], "--json").json["run_id"] == first
    assert caller.call("runs", "show", first.upper(), "--json").json["run_id"] == first
    assert caller.call("runs", "show", first[:3]).code == 2
    assert caller.call("runs", "show", "not-an-id").code == 2
    nobodys = "00000000-0000-4000-8000-000000000000"
    assert caller.call("runs", "show", nobodys[:9]).code == 6
    assert caller.call("runs", "show", nobodys).code == 6


def test_show_has_all_details(caller: Terminal, served: Served) -> None:
    """It shows phases, failure, who acts, next step, how to retry; texts of others without escape sequences."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.FAILED, completed_at=datetime.now(UTC))
    why = failure(FailureCode.REPOSITORY_NOT_FOUND, "GitHub said \x1b[2Jno.")
    served.store.progress.finish(
        run_id, LEASE, RunStatus.FAILED, now=datetime.now(UTC), result_summary="x", failure=why
    )
    shown = caller.call("runs", "show", run_id).stdout
    for words in ("failed", "prepare_job", "cleanup", "repository_not_found", "GitHub said no.", "submitter"):
        assert words in shown
    assert why.next_step in shown
    assert f"moonmind-appliance runs retry {run_id[:8]}" in shown
    assert "\x1b" not in shown


def test_cancel_and_retry(caller: Terminal, served: Served) -> None:
    """Each verb works once; after that the command reports that the state does not allow it."""
    run_id = served.submit()
    assert caller.call("runs", "cancel", run_id, "--json").json["status"] == "cancelled"
    assert caller.call("runs", "cancel", run_id).code == 1
    assert caller.call("runs", "retry", run_id).stdout == f"Run {run_id[:8]} is queued again.\n"
    assert caller.call("runs", "retry", run_id).code == 1


@pytest.mark.parametrize(("verb", "sent"), [("watch", signal.SIGINT), ("retry", signal.SIGTERM)])
def test_a_stopped_wait_says_that_the_run_continues(
    terminal: Terminal, served: Served, verb: str, sent: signal.Signals
) -> None:
    """From the first line on. A retry shows no phase of the attempt before as new."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.SUCCEEDED)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.FAILED)
    if verb == "retry":
        served.finish(run_id, RunStatus.FAILED)
    process = terminal.start("runs", verb, run_id, *(["--wait"] if verb == "retry" else []))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    if verb == "retry":
        assert first == f"Run {run_id[:8]} is queued again; it continues at git_clone.\n"
        assert "prepare_job" not in stdout
        assert "git_clone" not in stdout
    else:
        assert "prepare_job succeeded" in first
    continues = f"The run continues. Follow it again with: moonmind-appliance runs watch {run_id[:8]}"
    assert stderr.splitlines()[-3:] == [continues, "", "error: stopped"]
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.SUCCEEDED, 0),
        (RunStatus.NO_CHANGES, 0),
        (RunStatus.FAILED, 7),
        (RunStatus.CANCELLED, 7),
    ],
)
def test_watch_ends_with_the_runs_result(caller: Terminal, served: Served, status: RunStatus, code: int) -> None:
    """The exit code shows the outcome; with --json stdout contains only the run."""
    run_id = served.submit()
    served.take(run_id)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.RUNNING)
    served.phase(run_id, PhaseName.PREPARE_JOB, PhaseStatus.SUCCEEDED)
    served.finish(run_id, status)
    called = caller.call("runs", "watch", run_id, "--json")
    assert called.code == code
    assert (called.json["run_id"], called.json["status"]) == (run_id, status.value)
    assert "prepare_job succeeded" in called.stderr
    assert f"The run ended: {status.value}" in caller.call("runs", "watch", run_id).stdout


def test_artifacts_are_listed_and_downloaded(caller: Terminal, served: Served, tmp_path: Path) -> None:
    """One by name, or all, byte for byte."""
    run_id = served.submit()
    content = bytes(range(256)) * 3000
    served.keep(run_id, "change.patch", content)
    served.keep(run_id, "empty.log", b"")
    listed = caller.call("runs", "artifacts", run_id, "--json").json
    assert [item["name"] for item in listed] == ["change.patch", "empty.log"]
    folder = tmp_path / "new" / "folder"
    called = caller.call("runs", "artifacts", run_id, "--download", str(folder))
    assert called.stdout == f"2 files in {folder}\n"
    assert (folder / "change.patch").read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == ["change.patch", "empty.log"]
    caller.call("runs", "artifacts", run_id, "--name", "empty.log", "--download", str(tmp_path / "one"))
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["empty.log"]
    assert caller.call("runs", "artifacts", run_id, "--name", "none").code == 1


def test_logs_are_printed_phase_by_phase(caller: Terminal, served: Served) -> None:
    """Codex's events are shown as text; as objects with --json; unchanged with --raw."""
    run_id = served.submit()
    event = '{"type":"item.completed","item":{"type":"agent_message","text":"All \\u001b[2Jdone."}}'
    served.keep(run_id, "speckit_plan.stdout.jsonl", f'{{"type":"turn.started"}}\n{event}\n'.encode())
    served.keep(run_id, "git_clone.stdout.log", b"cloned\n")
    assert caller.call("runs", "logs", run_id).stdout.splitlines() == [
        "── git_clone stdout",
        "cloned",
        "── speckit_plan stdout",
        "All done.",
    ]
    raw = caller.call("runs", "logs", run_id, "--phase", "speckit_plan", "--stream", "stdout", "--raw").stdout
    assert raw.splitlines()[1] == event
    objects = caller.call("runs", "logs", run_id, "--phase", "git_clone", "--json").lines
    assert objects == [{"phase": "git_clone", "stream": "stdout", "attempt": 1, "line": "cloned"}]


def test_logs_are_followed_to_the_end(caller: Terminal, served: Served) -> None:
    """A phase's output comes before the end; then the command ends."""
    run_id = served.submit()
    served.take(run_id)
    artifact = served.keep(run_id, "git_clone.stdout.log", b"one\ntwo\n")
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.RUNNING, stdout_path=artifact.storage_path)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.SUCCEEDED, stdout_path=artifact.storage_path)
    served.finish(run_id)
    lines = caller.call("runs", "logs", run_id, "--follow", "--json").lines
    assert [(line["phase"], line["line"]) for line in lines] == [("git_clone", "one"), ("git_clone", "two")]


def test_shards_show_logins_and_who_waits(caller: Terminal, served: Served) -> None:
    """HTTP and the data folder give the same output."""
    run_id = served.submit()
    told = caller.call("shards", "--json").json
    assert [item["shard"] for item in told["items"]] == [0, 1, 2]
    assert [run["run_id"] for run in told["waiting"]] == [run_id]
    assert "1 run waits" in caller.call("shards").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list"],
        ["runs", "list", "--status", "queued", "--limit", "1"],
        ["runs", "show", "latest"],
        ["runs", "artifacts", "latest"],
        ["runs", "logs", "latest"],
        ["runs", "watch", "latest"],
        ["shards"],
    ],
)
def test_both_connections_give_the_same_json(terminal: Terminal, served: Served, words: list[str]) -> None:
    """The answers are equal field by field: for a run with all details, waiting runs, and a paused shard."""
    served.submit(shard=1)
    served.submit(shard=1)
    terminal.call("pause-shard", "1")
    run_id = served.submit(external_ref="x-1")
    served.take(run_id)
    artifact = served.keep(run_id, "git_clone.stdout.log", b"cloned\n")
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.RUNNING, stdout_path=artifact.storage_path)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.FAILED, stdout_path=artifact.storage_path)
    served.finish(run_id, RunStatus.FAILED)
    directly = terminal.call(*words, "--json")
    over_http = terminal.call(*words, "--json", MOONMIND_API_TOKEN=served.tokens["olga"])
    assert over_http.stdout == directly.stdout
    assert over_http.code == directly.code


def test_pause_and_resume(terminal: Terminal, served: Served) -> None:
    """A paused shard is shown with the next step; both commands are safe twice; unknown shards are refused."""
    for _ in range(2):
        called = terminal.call("pause-shard", "1")
        assert called.code == 0
        assert called.stdout.startswith("Shard 1 is paused and accepts no new runs.")
    assert served.store.shards.get(1).paused_at is not None
    shown = terminal.call("shards").stdout
    assert "Shard 1 is paused since" in shown
    assert "moonmind-appliance resume-shard 1" in shown
    assert terminal.call("resume-shard", "1", "--json").json["shard"]["paused_at"] is None
    assert terminal.call("resume-shard", "1").stdout == "Shard 1 accepts runs.\n"
    assert "paused" not in terminal.call("shards").stdout
    assert terminal.call("pause-shard", "3").code == 2
