"""The resources of one process: that they are closed, also after an error, and the shards' names."""

import gc
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.attach import attach, shard_names
from moonmind_appliance.errors import EngineUnreachable, GitHubError, SettingsError
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings, load
from tests.without_engine import TOKEN, settings_without_engine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_without_engine(tmp_path)


def open_files() -> list[str]:
    """This process's open files by their targets; sockets by their number."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The folder's own descriptor is closed by now.
        with suppress(FileNotFoundError):
            opened.append(str(descriptor.readlink()))
    return sorted(opened)


def test_attach_closes_everything(settings: Settings) -> None:
    """Database, wake-up queue, engine and GitHub, also after use in other threads or an error."""
    gc.collect()
    before = open_files()

    def use(resources: Resources) -> None:
        resources.store.runs.counts()
        resources.wakeups.wake(0)
        with pytest.raises(EngineUnreachable):
            resources.engine.info()
        assert resources.github is not None
        with pytest.raises(GitHubError):
            resources.github.repository("a/b")

    with attach(settings) as resources:
        use(resources)
        thread = threading.Thread(target=use, args=[resources])
        thread.start()
        thread.join()
        assert len(open_files()) > len(before)
    assert open_files() == before

    def fail() -> None:
        with attach(settings) as resources:
            use(resources)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert open_files() == before


@pytest.mark.docker
def test_attach_closes_the_connections_to_a_real_engine(settings: Settings) -> None:
    """Connections to a real engine end with the block."""
    gc.collect()
    before = open_files()
    with attach(msgspec.structs.replace(settings, docker_host=None)) as resources:
        resources.engine.info()
        assert len(open_files()) > len(before)
    assert open_files() == before


def test_an_attach_that_fails_leaves_nothing_open(settings: Settings) -> None:
    """An invalid token is found after the database was opened."""
    gc.collect()
    before = open_files()
    bad = load({"MOONMIND_DATA_DIR": str(settings.moonmind_data_dir), "GITHUB_TOKEN": f"{TOKEN}\u2026"}).settings
    with pytest.raises(SettingsError), attach(bad):
        pass
    assert open_files() == before


def test_each_shard_has_a_queue_a_thread_a_volume_and_a_lock() -> None:
    """Named by its number and the prefix."""
    names = shard_names(load({"CODEX_SHARDS": "2", "CODEX_VOLUME_PREFIX": "login_"}).settings)
    assert [(name.queue, name.thread, name.volume, name.lock) for name in names] == [
        ("codex-0", "codex-0", "login_0", "login_0-in-use"),
        ("codex-1", "codex-1", "login_1", "login_1-in-use"),
    ]
