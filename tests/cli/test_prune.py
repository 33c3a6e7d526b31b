"""`prune` shows what is past its retention time, and removes it, whether `serve` is running or not."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind_appliance.models import RunStatus
from moonmind_appliance.store import Store
from tests.api.served import LEASE, Served
from tests.cli.terminal import Terminal

NO_ENGINE = {"DOCKER_HOST": "unix:///no/such/docker.sock"}


@pytest.fixture
def old_files(terminal: Terminal) -> Path:
    """Files of a run that has no record, and an empty database."""
    Store.open(terminal.data_dir).close()
    folder = terminal.data_dir / "runs/00000000-0000-4000-8000-000000000000/artifacts"
    folder.mkdir(parents=True)
    (folder / "a.log").write_bytes(b"x" * 5000)
    return folder


def test_a_preview_removes_nothing(terminal: Terminal, old_files: Path) -> None:
    """It shows what, of which run, the size and the total. Without Docker it says so, with exit code 4."""
    called = terminal.call("prune", "--dry-run", **NO_ENGINE)
    assert called.code == 4
    assert "artifacts" in called.stdout
    assert "run 00000000" in called.stdout
    assert "8.0 KiB" in called.stdout
    assert "planned" in called.stdout
    assert "1 in total, 8.0 KiB." in called.stdout
    assert "Not examined: workspace: No Docker engine responds" in called.stderr
    assert (old_files / "a.log").exists()


def test_it_removes_what_the_preview_shows(terminal: Terminal, old_files: Path) -> None:
    """The same items, now with their state; a second call finds nothing."""
    shown = terminal.call("prune", "--dry-run", "--json", **NO_ENGINE).json
    called = terminal.call("prune", "--json", **NO_ENGINE)
    done = called.json
    assert (shown["dry_run"], done["dry_run"]) == (True, False)
    assert [item | {"state": "removed"} for item in shown["items"]] == done["items"]
    assert (done["bytes"], len(done["not_examined"])) == (8192, 1)
    assert not old_files.parent.exists()
    assert terminal.call("prune", **NO_ENGINE).stdout == "Nothing is past its retention time.\n"


def test_beside_a_running_serve(served: Served, terminal: Terminal) -> None:
    """No lock is in the way; the API answers, and the run's record stays."""
    run_id = served.submit()
    ended = served.take(run_id).accepted_at - timedelta(minutes=1)
    served.store.progress.finish(run_id, LEASE, RunStatus.FAILED, now=ended, result_summary=None, failure=None)
    called = terminal.call("prune", "--json", TEXT_RETENTION="1s", **NO_ENGINE)
    assert [(item["kind"], item["run_id"], item["state"]) for item in called.json["items"]] == [
        ("specification", run_id, "removed")
    ]
    assert served.client().get(f"/runs/{run_id}").json()["specification_kept"] is False
    refused = served.client().post(f"/runs/{run_id}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "specification_removed")
    shown = terminal.call("runs", "show", run_id, MOONMIND_API_TOKEN=served.tokens["ann"])
    assert "removed after TEXT_RETENTION; the run cannot be retried" in shown.stdout
    assert "runs retry" not in shown.stdout


def test_many_rows_are_shortened(terminal: Terminal, old_files: Path) -> None:
    """The table has the first hundred of a kind; JSON has all."""
    for number in range(1, 120):
        (old_files.parents[1] / f"00000000-0000-4000-8000-{number:012}/artifacts").mkdir(parents=True)
    called = terminal.call("prune", "--dry-run", **NO_ENGINE)
    assert called.stdout.count("planned") == 100
    assert "20 more of artifacts; --json lists them." in called.stdout
    assert len(terminal.call("prune", "--dry-run", "--json", **NO_ENGINE).json["items"]) == 120


def test_what_cannot_be_removed(terminal: Terminal, old_files: Path) -> None:
    """Is shown with the reason, and the exit code is not 0."""
    old_files.parent.rename(old_files.parent.with_name("elsewhere"))
    old_files.parent.write_text("a file in the place of the folder")
    called = terminal.call("prune", **NO_ENGINE)
    assert called.code == 4
    assert "failed: " in called.stdout
    assert "1 could not be removed" in called.stdout


def test_without_a_database(terminal: Terminal) -> None:
    """Nothing is created."""
    called = terminal.call("prune", **NO_ENGINE)
    assert (called.code, called.stdout) == (1, "")
    assert "has no database, so there is nothing to remove" in called.stderr
    assert not terminal.data_dir.exists()


def test_json_is_one_document(terminal: Terminal, old_files: Path) -> None:
    """With every field of an item."""
    del old_files
    (item,) = json.loads(terminal.call("prune", "--dry-run", "--json", **NO_ENGINE).stdout)["items"]
    assert set(item) == {
        "kind",
        "names",
        "run_id",
        "shard",
        "repository",
        "since",
        "size_bytes",
        "count",
        "state",
        "problem",
    }
