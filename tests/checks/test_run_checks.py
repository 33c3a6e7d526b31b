"""All checks in sequence: each finding as it is found, and never an exception."""

import sqlite3
from pathlib import Path

import pytest

from moonmind_appliance.attach import attach
from moonmind_appliance.checks import Finding, run_checks
from moonmind_appliance.errors import EngineError, StoreError
from moonmind_appliance.settings import Secret, Settings
from moonmind_appliance.store import DATABASE_NAME
from tests.appliance_under_test import ApplianceUnderTest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a new machine."""
    return Settings(
        moonmind_data_dir=tmp_path / "data",
        docker_host=f"unix://{tmp_path}/no-engine.sock",
        moonmind_port=1,
        min_free_disk=1,
    )


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def label_images(appliance: ApplianceUnderTest) -> None:
    """Make the engine's images job images that the checks accept."""
    for image in appliance.engine.images.values():
        image.labels.update({f"moonmind.{name}.version": "1.0" for name in ("codex", "spec-kit", "job-image")})


def test_without_a_job_image_no_login_is_advised(appliance: ApplianceUnderTest) -> None:
    """The image is what to fix: `login-shard` needs it."""
    found = list(run_checks(appliance.resources.settings, appliance.resources, offline=True))
    assert (by_name(found)["job image"].level, by_name(found)["logins"].level) == ("wrong", "note")
    assert not any("login-shard" in finding.to_do for finding in found)


def test_a_new_machine(settings: Settings) -> None:
    """Missing things are wrong, and nothing is created."""
    found = by_name(list(run_checks(settings, None, offline=True)))
    assert {name: finding.level.value for name, finding in found.items()} == {
        "data folder": "ok",
        "disk": "ok",
        "database": "ok",
        "Docker engine": "wrong",
        "logins": "note",
        "API address": "ok",
        "serve": "note",
        "GitHub token": "wrong",
        "clock": "note",
    }
    assert all(finding.to_do for finding in found.values() if finding.level == "wrong")
    assert not settings.moonmind_data_dir.exists()


def test_check_names_are_unique(appliance: ApplianceUnderTest) -> None:
    """An interface identifies findings by them."""
    names = [finding.check for finding in run_checks(appliance.resources.settings, appliance.resources, offline=True)]
    assert len(names) == len(set(names))


def test_findings_come_as_they_are_found(settings: Settings) -> None:
    """The first one does not wait for the others, and the caller can stop early."""
    checks = run_checks(settings, None)
    assert next(checks).check == "data folder"


def damage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES ('m9999_of_the_future', '2030-01-01')")
    connection.close()


@pytest.mark.parametrize(("how", "word"), [(damage, "not an SQLite database"), (make_newer, "newer")])
def test_a_database_that_cannot_be_used(settings: Settings, how: object, word: str) -> None:
    """Damaged, or of a newer program: a finding with what to do, and all other checks are made."""
    with attach(settings):
        pass
    assert callable(how)
    how(settings.moonmind_data_dir / DATABASE_NAME)
    with pytest.raises(StoreError) as refused, attach(settings):
        pass
    found = by_name(list(run_checks(settings, None, problem=refused.value, offline=True)))
    assert found["database"].level == "wrong"
    assert word in found["database"].observed
    assert found["database"].to_do
    assert "clock" in found


def test_a_database_that_breaks_while_it_is_open(appliance: ApplianceUnderTest) -> None:
    """Database and logins are wrong, and the other checks are done."""
    label_images(appliance)
    appliance.store.close()
    found = by_name(list(run_checks(appliance.resources.settings, appliance.resources, offline=True)))
    assert (found["database"].level, found["logins"].level) == ("wrong", "wrong")
    assert found["Docker engine"].level == "ok"


@pytest.mark.parametrize("method", ["info", "image", "ensure_network", "start"])
def test_an_engine_that_fails_anywhere(appliance: ApplianceUnderTest, method: str) -> None:
    """The finding has the engine's message, and the later checks are done."""
    label_images(appliance)
    appliance.engine.fail(EngineError("The engine is out of order."), method=method)
    found = by_name(
        [f for f in run_checks(appliance.resources.settings, appliance.resources) if "from containers" not in f.check]
    )
    said = [finding for finding in found.values() if finding.observed == "The engine is out of order."]
    assert [finding.level.value for finding in said] == ["wrong"]
    assert said[0].to_do
    assert "clock" in found


def test_a_token_that_cannot_be_sent_and_a_ca_file_that_is_missing(settings: Settings, tmp_path: Path) -> None:
    """Each is a finding."""
    given = {name: getattr(settings, name) for name in settings.__struct_fields__}
    for more in ({"github_token": Secret("a\u2026b")}, {"extra_ca_certs": tmp_path / "none.pem"}):
        changed = Settings(**(given | {"github_token": Secret("token")} | more))
        found = by_name(list(run_checks(changed, None)))
        assert found["GitHub token"].level == "wrong"
        assert found["GitHub token"].to_do


def test_a_database_that_another_process_writes_to(appliance: ApplianceUnderTest) -> None:
    """It is read without waiting."""
    path = appliance.resources.settings.moonmind_data_dir / DATABASE_NAME
    label_images(appliance)
    appliance.store.shards.all(2)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    found = by_name(list(run_checks(appliance.resources.settings, appliance.resources, offline=True)))
    other.close()
    assert found["database"].level == "ok"
    assert found["login of shard 0"].level == "wrong", found
