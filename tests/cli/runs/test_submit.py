"""`runs submit` over HTTP and on the data folder."""

import re
from pathlib import Path

import pytest

from tests.api.served import Served, serve
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


def test_a_full_queue_is_said_plainly(served: Served, terminal: Terminal) -> None:
    """The message names the setting and what to do. The exit code is that of problems that resolve by themselves."""
    terminal.variables["MAX_QUEUED_RUNS_PER_USER"] = "1"
    submit(terminal)
    assert len(served.store.run_lists.queued()) == 1
    called = terminal.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin=SPEC)
    assert called.code == 4
    assert called.stderr.endswith(
        "error: 1 runs of this user are queued, the most that MAX_QUEUED_RUNS_PER_USER allows. Nothing was changed. "
        "Send the request again when some have started, or cancel some.\n"
    )


def test_a_refusal_of_the_api_is_said_plainly(terminal: Terminal) -> None:
    """Over HTTP the message is the API's, with the seconds to wait."""
    with serve(terminal.data_dir, max_submissions_per_minute=1) as served:
        terminal.variables |= {"MOONMIND_SERVER": served.address, "MOONMIND_API_TOKEN": served.tokens["ann"]}
        submit(terminal)
        called = terminal.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin=SPEC)
    assert called.code == 4
    assert "error: You have submitted 1 runs within a minute, the most that MAX_SUBMISSIONS_PER_MINUTE" in called.stderr
    assert re.search(r"Send the request again in \d+ s\.", called.stderr)


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


def test_a_run_that_cannot_start_now(caller: Terminal, served: Served, tmp_path: Path) -> None:
    """The output says what it waits for, also after a retry."""
    (tmp_path / "spec.md").write_text("# Basket")
    assert caller.call("drain").code == 0
    called = caller.call("runs", "submit", "--repository", "acme/shop", "--spec", str(tmp_path / "spec.md"))
    run = served.store.run_lists.queued()[0]
    waits = "The run waits for the appliance to be resumed."
    assert called.stdout.splitlines()[:2] == [f"Run {run.run_id} is accepted.", waits]
    assert caller.call("runs", "cancel", run.run_id).code == 0
    assert caller.call("runs", "retry", run.run_id).stdout == f"Run {run.short_id} is queued again.\n{waits}\n"
