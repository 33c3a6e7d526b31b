"""`runs artifacts` over HTTP and on the data folder."""

from pathlib import Path

from tests.api.served import Served
from tests.cli.terminal import Terminal


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
