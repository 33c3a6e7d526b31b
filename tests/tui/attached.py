"""The appliance that the terminal interface attaches to in tests: a real store, a fake engine, a fixed clock."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.checks import Finding, ServeState
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.submit import SubmitRequest, submit_run
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store
from tests.appliance_under_test import ScriptedAgent
from tests.containers.fake import FakeEngine
from tests.fakes import RecordedWakeups, shard_names
from tui.app import TerminalApp
from tui.terminal import ThemeName

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OPERATOR = Actor("os:olga", "olga", operator=True)
SERVED = ServeState(answers=True, version="1.2.3", ready=True)
WAIT_SECONDS = 60


@dataclass
class Attached:
    resources: Resources
    engine: FakeEngine
    wakeups: RecordedWakeups
    folder: Path
    now: list[datetime]
    served: ServeState = SERVED
    findings: Sequence[Finding] = ()

    @property
    def store(self) -> Store:
        return self.resources.store

    def advance(self, **span: float) -> None:
        self.now[0] += timedelta(**span)

    def submit(self, actor: Actor = OPERATOR, **fields: Any) -> Run:
        request = SubmitRequest(**({"repository": "acme/shop", "specify_text": "# Basket\n"} | fields))
        self.advance(seconds=1)
        return submit_run(self.resources, actor, request)

    def app(self, **options: Any) -> TerminalApp:
        given = {
            "theme_name": ThemeName.DARK,
            "environment": {"XDG_STATE_HOME": str(self.folder / "state")},
            "checks": lambda _settings, _resources: iter(self.findings),
        }
        return TerminalApp(
            self.resources,
            OPERATOR,
            serve_state=lambda _settings: self.served,
            **(given | options),
        )


@contextmanager
def attached_to(folder: Path, **settings: Any) -> Iterator[Attached]:
    """An appliance with two shards; no login has been observed yet."""
    given = Settings(moonmind_data_dir=folder, **({"min_free_disk": 1, "codex_shards": 2} | settings))
    store = Store.open(folder)
    engine, wakeups, now = FakeEngine(), RecordedWakeups(), [NOW]
    resources = Resources(
        settings=given,
        store=store,
        engine=engine,
        github=None,
        agent=ScriptedAgent(),
        redactor=Redactor(),
        files=ArtifactFiles(folder),
        wakeups=wakeups,
        shards=tuple(shard_names(given.codex_shards)),
        appliance_id="tests",
        clock=lambda: now[0],
    )
    try:
        yield Attached(resources, engine, wakeups, folder, now)
    finally:
        store.close()


async def settle(pilot: Any) -> None:
    """Wait until no job runs, no message is queued, and everything is painted."""
    async with asyncio.timeout(WAIT_SECONDS):
        for _ in range(3):
            await pilot.pause()
            while not pilot.app.background.idle:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
        await pilot.pause()


async def until(pilot: Any, true: Any) -> None:
    """Wait until the condition is true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    await pilot.pause()
