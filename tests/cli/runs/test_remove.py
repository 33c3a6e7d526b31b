"""`runs remove` on the data folder."""

import json

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_an_unreadable_run_is_shown_as_such_exported_and_removed(terminal: Terminal, served: Served) -> None:
    """The API names the command; an existing file is not overwritten."""
    run_id, other = served.submit(), served.submit()
    with served.store.database.write() as connection:
        connection.execute("UPDATE runs SET created_by = '{' WHERE run_id = ?", (run_id,))
    with served.client("olga") as client:
        answer = client.get(f"/runs/{run_id}")
        assert (answer.status_code, answer.json()["code"]) == (500, "record_unreadable")
        assert "runs remove" in answer.json()["detail"]
        assert client.get(f"/runs/{other}").status_code == 200
    file = terminal.data_dir.parent / "run.json"
    called = terminal.call("runs", "remove", run_id, "--yes", "--export", str(file))
    assert (called.code, called.stdout) == (0, f"Run {run_id[:8]} was removed; its rows are in {file}.\n")
    assert json.loads(file.read_text())["runs"][0]["created_by"] == "{"
    assert file.stat().st_mode & 0o777 == 0o600
    refused = terminal.call("runs", "remove", other, "--yes", "--export", str(file))
    assert refused.code == 1
    assert "is not overwritten" in refused.stderr


def test_a_run_is_not_removed_without_confirmation(terminal: Terminal, served: Served) -> None:
    """Nor while it is queued; with --json, --yes must be given."""
    run_id = served.submit()
    assert terminal.call("runs", "remove", run_id, stdin="n\n").code == 1
    assert "Cancel it first." in terminal.call("runs", "remove", run_id, "--yes").stderr
    assert terminal.call("runs", "remove", run_id, "--json").code == 2
    terminal.call("runs", "cancel", run_id)
    assert terminal.call("runs", "remove", run_id, "--json", "--yes").json == {"run_id": run_id, "exported_to": None}
