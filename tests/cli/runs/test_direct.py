"""Access on the data folder."""

import shutil

import pytest

from moonmind_appliance.models import PhaseName, PhaseStatus, RunStatus
from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_a_run_that_is_submitted_directly_belongs_to_this_user(terminal: Terminal) -> None:
    """It is stored although `serve` does not run, and the command says so."""
    called = terminal.call(
        "runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin="Basket.", MOONMIND_PORT="9"
    )
    assert called.code == 5
    terminal.data_dir.mkdir(mode=0o700)
    called = terminal.call(
        "runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin="Basket.", MOONMIND_PORT="9"
    )
    assert called.code == 0
    assert "`serve` is not running on this machine" in called.stderr
    detail = terminal.call("runs", "show", "latest", "--json").json
    assert detail["created_by"]["subject"].startswith("os:")


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


@pytest.mark.parametrize("words", [["watch", "latest"], ["logs", "latest", "--follow"]])
def test_following_a_run_ends_when_the_data_folder_disappears(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A rehearsal removes its folder when it stops; SQLite could still read the open file, and nothing would change."""
    terminal.data_dir.mkdir(mode=0o700)
    terminal.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin="Basket.", MOONMIND_PORT="9")
    # The first wait for news removes the folder; a second one would fail.
    monkeypatch.setattr("time.sleep", lambda _: shutil.rmtree(terminal.data_dir))
    called = terminal.call("runs", *words)
    assert called.code == 1
    assert called.stderr.splitlines()[-1] == (
        f"error: Database {terminal.data_dir}/appliance.db no longer exists (No such file or directory). "
        "Check the data folder and its disk."
    )
    assert "The run continues" not in called.stderr
