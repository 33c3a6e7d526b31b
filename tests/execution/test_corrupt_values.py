"""One damaged value in the database affects the row that contains it, and nothing else.

The values are what a bad disk or a person with an SQLite shell leaves: text that is no JSON, time or status, bytes that
are not UTF-8, numbers out of range.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.execution.recover import recover, requeue_expired
from moonmind_appliance.execution.sweep import Sweeper, When
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_RUN, RunFilter, RunOrder, RunStatus
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.retention.hourly import retain
from moonmind_appliance.scheduling.wake import maintain, wake_queued
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.store.migrations import MIGRATIONS
from moonmind_appliance.views.run_detail import run_detail
from moonmind_appliance.views.run_summary import recent_repositories, run_page, runs_by_id
from moonmind_appliance.views.run_tail import Position, RunTail
from moonmind_appliance.views.shard_view import shard_views, waiting_runs
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.fakes import ANN

TEXTS = ["'{damaged'", "CAST(x'7bff22fe' AS TEXT)", "'2026-02-31T99:99'"]
NUMBERS = ["-7", "9000000000000000000"]
# They name the row, or are what the tests look for.
KEYS = {"run_id", "event_id", "token_id", "key", "migrations.name", "migrations.applied_at"}


def damages() -> Iterator[tuple[str, str, list[str]]]:
    """Each table and column, with the damaged values for it."""
    with sqlite3.connect(":memory:") as connection:
        for migration in MIGRATIONS:
            migration(connection)
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if not {column, f"{table}.{column}"} & KEYS and not table.startswith("sqlite_"):
                    values = {"TEXT": TEXTS, "INTEGER": NUMBERS}.get(kind)
                    if values:
                        yield table, column, values


def damage(data_dir: Path, table: str, column: str, value: str, run_id: str) -> None:
    """Change the value in the rows of that run, or in all rows of a table that has no run."""
    connection = sqlite3.connect(data_dir / DATABASE_NAME)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    which = f"run_id = '{run_id}'" if "run_id" in columns else "TRUE"
    with connection:
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {which}")  # noqa: S608 - fixed texts
    connection.close()


def reads(appliance: ApplianceUnderTest, damaged: str) -> list[Callable[[], object]]:
    """What may refuse the damaged row, with an error of the appliance."""
    resources, store = appliance.resources, appliance.store
    return [
        lambda: run_detail(resources.store, ANN, damaged),
        lambda: RunTail(store, resources.files, damaged, Position()).read(),
        lambda: store.run_rows.export(damaged),
        lambda: store.artifacts.list(damaged),
        store.tokens.list,
        lambda: store.tokens.actor("mma_" + "x" * 43),
    ]


def works(appliance: ApplianceUnderTest, good: str) -> list[Callable[[], object]]:
    """What must not fail at all."""
    resources, store, now = appliance.resources, appliance.store, appliance.clock()
    return [
        lambda: recover(resources),
        lambda: requeue_expired(resources),
        lambda: Sweeper(resources).sweep(When.PERIODIC),
        lambda: retain(resources),
        lambda: maintain(resources),
        lambda: wake_queued(resources),
        lambda: shard_views(store, resources.settings, now=now),
        lambda: waiting_runs(store),
        lambda: recent_repositories(store, 10),
        store.runs.counts,
        lambda: run_page(store, RunFilter(), limit=50),
        lambda: [runs_by_id(store, store.run_lists.ids(RunFilter(), order, now=now)) for order in RunOrder],
        lambda: run_detail(resources.store, ANN, good),
        lambda: RunTail(store, resources.files, good, Position()).read(),
    ]


class Template(NamedTuple):
    """A database with two runs that succeeded: its content, and both ids."""

    content: bytes
    damaged: str
    good: str


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, github: StandInGitHub) -> Template:
    data_dir = tmp_path_factory.mktemp("template") / "data"
    with open_appliance(data_dir, github) as appliance:
        appliance.store.tokens.create("ann", operator=True, expires_at=None)
        damaged, good = appliance.run(idempotency_key="one"), appliance.run()
        assert (damaged.status, good.status) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)
    return Template((data_dir / DATABASE_NAME).read_bytes(), damaged.run_id, good.run_id)


@pytest.mark.parametrize(("table", "column", "values"), damages())
def test_a_damaged_value_affects_its_row_only(
    template: Template, tmp_path: Path, table: str, column: str, values: list[str]
) -> None:
    """Reading the row is refused in words; lists, recovery, retention and other runs work."""
    for number, value in enumerate(values):
        data_dir = tmp_path / str(number)
        data_dir.mkdir(mode=0o700)
        (data_dir / DATABASE_NAME).write_bytes(template.content)
        damage(data_dir, table, column, value, template.damaged)
        with open_appliance(data_dir) as appliance:
            labels = {LABEL_APPLIANCE: appliance.resources.appliance_id, LABEL_RUN: template.damaged}
            appliance.engine.ensure_volume(f"moonmind-run-{template.damaged}", labels)
            for work in works(appliance, template.good):
                work()
            for read in reads(appliance, template.damaged):
                with suppress(ApplianceError):
                    read()
            appliance.submit()
            assert appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=60) is not None
