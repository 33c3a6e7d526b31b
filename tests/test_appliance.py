"""The serving process: its start, that it leaves nothing when it stops, and that there is only one."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from moonmind_appliance.appliance import Appliance
from moonmind_appliance.attach import attach
from moonmind_appliance.errors import DataFolderInUse, SettingsError, StoreError
from moonmind_appliance.models import Actor, Run, RunStatus
from moonmind_appliance.resources import utc_now
from moonmind_appliance.settings import Settings, load
from moonmind_appliance.store import DATABASE_NAME
from tests.known_tokens import private_key
from tests.without_engine import TOKEN, settings_without_engine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_without_engine(tmp_path)


@pytest.fixture
def appliance(settings: Settings) -> Iterator[Appliance]:
    made = Appliance(settings)
    yield made
    made.stop()


def run(run_id: str) -> Run:
    return Run(
        run_id=run_id, repository="a/b", specify_text="x", accepted_at=utc_now(), created_by=Actor("local:ann", "ann")
    )


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_starts_without_an_engine(appliance: Appliance) -> None:
    """The API responds, and readiness reports what is missing."""
    token = appliance.resources.store.tokens.create("ann", operator=True, expires_at=None)
    with TestClient(appliance.api) as client:
        assert client.get("/api/spec-automation/health").status_code == httpx.codes.OK
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.post(
            "/api/spec-automation/runs", json={"repository": "a/b", "specify_text": "x"}, headers=headers
        )
        assert answer.status_code == httpx.codes.ACCEPTED


def test_a_second_process_on_the_same_data_folder_is_refused(appliance: Appliance, settings: Settings) -> None:
    """With the process id; the refused one leaves nothing open, and the first one continues."""
    before = threads()
    with pytest.raises(DataFolderInUse):
        Appliance(settings)
    assert threads() == before
    appliance.start()
    assert appliance.resources.store.runs.counts()


def test_other_processes_can_attach(appliance: Appliance, settings: Settings) -> None:
    """The command line and the TUI use the same database, without the lock."""
    with attach(settings) as resources:
        assert resources.appliance_id == appliance.resources.appliance_id


def test_a_start_recovers_from_a_crash(settings: Settings) -> None:
    """A run in progress is queued again before any worker runs."""
    with attach(settings) as resources:
        resources.store.runs.insert(run("r1"))
        resources.store.queue.claim(0, "dead", now=utc_now(), lease_seconds=30)
    appliance = Appliance(settings)
    try:
        recovered = appliance.start()
        assert recovered.runs_requeued == ["r1"]
        kept = appliance.resources.store.runs.get("r1")
        assert kept is not None
        assert (kept.status, kept.interruptions) == (RunStatus.QUEUED, 1)
    finally:
        appliance.stop()


def test_a_start_waits_for_a_lock_on_the_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that writes must not end the start. A stop ends the wait."""
    with attach(settings) as resources:
        resources.store.runs.insert(run("r1"))
        resources.store.queue.claim(0, "dead", now=utc_now(), lease_seconds=30)
    path = settings.moonmind_data_dir / DATABASE_NAME
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for ends_by_itself in (False, True):
        appliance = Appliance(settings)
        monkeypatch.setattr(appliance.resources.store.database, "_busy_seconds", 0.01)
        other.execute("BEGIN IMMEDIATE")
        starting = ThreadPoolExecutor(1).submit(appliance.start)
        with pytest.raises(TimeoutError):
            starting.result(0.2)
        if ends_by_itself:
            other.execute("ROLLBACK")
        else:
            appliance.begin_stopping()
        assert starting.result(60).runs_requeued == (["r1"] if ends_by_itself else [])
        appliance.stop()
        if not ends_by_itself:
            other.execute("ROLLBACK")
    other.close()


def test_a_stop_leaves_nothing_and_is_safe_twice(settings: Settings) -> None:
    """No thread and no lock: the next process starts at once. Also without a start."""
    before = threads()
    for start in (True, False):
        appliance = Appliance(settings)
        if start:
            appliance.start()
            assert {"codex-0", "codex-1", "codex-2"} <= threads()
        appliance.stop()
        appliance.stop()
        assert threads() <= before | {"AnyIO worker thread"}
    Appliance(settings).stop()


def test_a_stopping_appliance_refuses_new_runs(appliance: Appliance) -> None:
    """503 with `draining`; stored data can still be read."""
    token = appliance.resources.store.tokens.create("ann", operator=True, expires_at=None)
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(appliance.api) as client:
        appliance.begin_stopping()
        answer = client.post(
            "/api/spec-automation/runs", json={"repository": "a/b", "specify_text": "x"}, headers=headers
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert client.get("/api/spec-automation/runs", headers=headers).status_code == httpx.codes.OK


def test_a_stop_waits_for_nothing_when_no_run_is_running(settings: Settings) -> None:
    """Also with a very long STOP_GRACE."""
    appliance = Appliance(msgspec.structs.replace(settings, stop_grace=10**6))
    appliance.start()
    assert appliance.begin_stopping() == []
    appliance.wait_for_phases()
    appliance.stop()
    assert appliance.interrupt() == []


def test_a_data_folder_that_cannot_be_created_is_reported(tmp_path: Path, settings: Settings) -> None:
    """A file is in its place; the error says what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        Appliance(load({"MOONMIND_DATA_DIR": str(tmp_path / "file" / "data")}).settings)


def test_a_token_that_cannot_be_sent_is_a_settings_problem(settings: Settings) -> None:
    """It does not fail the first run, and is not shown."""
    bad = load({"MOONMIND_DATA_DIR": str(settings.moonmind_data_dir), "GITHUB_TOKEN": f"{TOKEN}\u2026"}).settings
    with pytest.raises(SettingsError) as caught:
        Appliance(bad)
    assert TOKEN not in str(caught.value)


def test_a_github_apps_key_that_cannot_sign_is_a_settings_problem(settings: Settings) -> None:
    """The start fails, not the first run. The error does not show the key. The data folder stays usable."""
    pem = private_key(Random(1))  # noqa: S311 - no secret
    given = {"MOONMIND_DATA_DIR": str(settings.moonmind_data_dir), "GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": pem}
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            Appliance(load(given).settings)
        assert pem.splitlines()[1] not in str(caught.value)
