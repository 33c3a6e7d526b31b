"""`purge` lists, asks, and removes the objects of one appliance."""

import json
import uuid
from pathlib import Path

import pytest

from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.purge import Request, remove_one, show_appliances
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import DataFolderInUse, EngineError
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import DataFolderLock, Store
from tests.cli.terminal import Terminal
from tests.containers.fake import FakeEngine

OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(moonmind_data_dir=tmp_path / "data")


@pytest.fixture
def appliance_id(settings: Settings) -> str:
    store = Store.open(settings.moonmind_data_dir)
    try:
        return store.appliance_id
    finally:
        store.close()


@pytest.fixture
def engine(appliance_id: str) -> FakeEngine:
    """A workspace of this appliance, one of another, and a login."""
    made = FakeEngine()
    made.ensure_network("moonmind-jobs", {})
    made.ensure_volume("mine", {LABEL_APPLIANCE: appliance_id, LABEL_RUN: "1"})
    made.ensure_volume("theirs", {LABEL_APPLIANCE: OTHER, LABEL_RUN: "2"})
    made.ensure_volume("codex_auth_0", {})
    return made


def test_this_appliance_is_the_default(engine: FakeEngine, settings: Settings, appliance_id: str) -> None:
    """Without an id the data folder's appliance is purged. The network stays, because another appliance uses it."""
    remove_one(Invocation(), settings, engine, Request(yes=True))
    assert set(engine.volume_data) == {"theirs", "codex_auth_0"}
    assert "moonmind-jobs" in engine.networks


def test_the_last_appliance_takes_the_network(engine: FakeEngine, settings: Settings) -> None:
    """The job network is removed with the last appliance; one that the operator chose is not."""
    remove_one(Invocation(), settings, engine, Request(yes=True, appliance_id=OTHER))
    assert "moonmind-jobs" in engine.networks
    remove_one(Invocation(), settings, engine, Request(yes=True))
    assert "moonmind-jobs" not in engine.networks


def test_an_appliance_without_a_data_folder(engine: FakeEngine, tmp_path: Path) -> None:
    """An id is enough; the login volumes of this appliance are not the other's."""
    gone = Settings(moonmind_data_dir=tmp_path / "never")
    remove_one(Invocation(), gone, engine, Request(appliance_id=OTHER, logins=True, yes=True))
    assert "theirs" not in engine.volume_data
    assert {"mine", "codex_auth_0"} <= set(engine.volume_data)
    assert not gone.moonmind_data_dir.exists()


def test_dry_run_removes_nothing(
    engine: FakeEngine, settings: Settings, appliance_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lists what would be removed, and what would be kept."""
    remove_one(Invocation(as_json=True), settings, engine, Request(dry_run=True))
    answer = json.loads(capsys.readouterr().out)
    assert (answer["found"]["appliance_id"], answer["removed"]) == (appliance_id, [])
    assert (answer["found"]["workspaces"], answer["found"]["logins"]) == (["mine"], ["codex_auth_0"])
    assert "mine" in engine.volume_data


def test_logins_and_data_go_when_asked(engine: FakeEngine, settings: Settings) -> None:
    """The folder goes, too, unless other files are in it."""
    remove_one(Invocation(), settings, engine, Request(yes=True, logins=True, data=True))
    assert set(engine.volume_data) == {"theirs"}
    assert not settings.moonmind_data_dir.exists()


def test_files_of_other_programs_are_kept(engine: FakeEngine, settings: Settings) -> None:
    """A data folder that also contains other files keeps them."""
    other = settings.moonmind_data_dir / "notes.txt"
    other.touch()
    remove_one(Invocation(), settings, engine, Request(yes=True, data=True))
    assert list(settings.moonmind_data_dir.iterdir()) == [other]


def test_a_serving_appliance_is_not_purged(engine: FakeEngine, settings: Settings) -> None:
    """Its workers would lose their containers: the command refuses before it removes anything."""
    lock = DataFolderLock(settings.moonmind_data_dir)
    lock.acquire()
    with pytest.raises(DataFolderInUse):
        remove_one(Invocation(), settings, engine, Request(yes=True))
    lock.release()
    assert "mine" in engine.volume_data


def test_what_could_not_be_removed_is_an_error(engine: FakeEngine, settings: Settings, appliance_id: str) -> None:
    """The data stays then, so that the command can be repeated."""
    engine.fail(EngineError("volume is in use"), method="remove_volume")
    with pytest.raises(CommandFailed, match="mine: volume is in use"):
        remove_one(Invocation(), settings, engine, Request(yes=True, data=True))
    assert (settings.moonmind_data_dir / "appliance.db").exists()


def test_list_needs_no_database(engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every appliance on the engine is listed; none of them is this one."""
    show_appliances(Invocation(as_json=True), Settings(moonmind_data_dir=tmp_path / "never"), engine)
    answer = json.loads(capsys.readouterr().out)
    assert answer["this"] is None
    assert OTHER in [each["appliance_id"] for each in answer["appliances"]]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--json"], "add --yes or --dry-run"),
        (["--data", "--appliance-id", OTHER], "--appliance-id to another appliance"),
    ],
)
def test_options_that_contradict_each_other(terminal: Terminal, options: list[str], problem: str) -> None:
    """They are refused before the engine is asked."""
    called = terminal.call("purge", *options, DOCKER_HOST="unix:///nonexistent.sock")
    assert called.code == 2
    assert problem in called.stderr


def test_no_engine(terminal: Terminal) -> None:
    """Without an engine the command fails, and creates no data folder."""
    called = terminal.call("purge", "--yes", DOCKER_HOST="unix:///nonexistent.sock")
    assert called.code == 4
    assert "/nonexistent.sock" in called.stderr
    assert not terminal.data_dir.exists()


@pytest.mark.docker
@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, True), ("", 1, True), ("y\n", 0, False)])
def test_it_asks_first(terminal: Terminal, answer: str, code: int, left: bool) -> None:  # noqa: FBT001 - parameter
    """Without --yes only a yes removes anything; no answer is a no."""
    engine = DockerEngine()
    store = Store.open(terminal.data_dir)
    labels = {LABEL_APPLIANCE: store.appliance_id, LABEL_RUN: "1"}
    store.close()
    name = f"moonmind-test-purge-{uuid.uuid4().hex}"
    engine.ensure_volume(name, labels)
    try:
        called = terminal.call("purge", stdin=answer, CODEX_VOLUME_PREFIX=f"{name}-")
        assert (called.code, name in called.stdout) == (code, True)
        assert bool(engine.volumes(labels)) is left
    finally:
        engine.remove_volume(name)
        engine.close()
