"""Snapshots of the screens: review a changed picture before you accept it.

`pytest --snapshot-update` takes the new pictures; `snapshot_report.html` shows old and new side by side.
"""

import pytest

from moonmind_appliance.checks import Finding, Level
from moonmind_appliance.cli.exits import MEANINGS
from moonmind_appliance.models import Run
from tests.shard_states import save_shard
from tests.tui.attached import NOW, OPERATOR, settle, until
from tests.tui.screens.test_shards import DEAD, SIGNED_IN
from tests.tui.simulated_sign_in import SimulatedSignIn
from tui.drafts import Draft, draft_file
from tui.screens import make_screen
from tui.terminal import ThemeName

SIZES = [
    pytest.param((80, 24), ThemeName.DARK, id="80x24-dark"),
    pytest.param((160, 48), ThemeName.LIGHT, id="160x48-light"),
]
RUN_ID = "0f3a9c1e-0000-4000-8000-000000000000"
TEXT = """# Due dates

- Goal: readers see when a book is **due**
- `GET /loans` returns the date

```python
due = loan.begun + timedelta(days=28)
```

> Not in scope: reminders.
"""
FINDINGS = [
    Finding("data folder", Level.OK, "/var/lib/moonmind-appliance"),
    Finding("disk", Level.OK, "The data folder's disk has 75 GiB free."),
    Finding(
        "login of shard 1",
        Level.WRONG,
        "Dead since 09:12.",
        "moonmind-appliance login-shard 1",
    ),
    Finding("clock", Level.NOTE, "2 s behind GitHub's.", "Let the machine's clock be set by NTP."),
]


@pytest.fixture
def shards(attached):
    save_shard(attached.store, SIGNED_IN)
    save_shard(attached.store, DEAD)
    run = Run(run_id=RUN_ID, repository="acme/shop", specify_text="x", accepted_at=NOW, created_by=OPERATOR)
    attached.store.runs.insert(run)
    attached.store.queue.claim(0, "lease", now=NOW, lease_seconds=60)


@pytest.mark.parametrize(("size", "theme"), SIZES)
def test_new_run(attached, shards, snap_compare, size, theme):
    """With an invalid field."""
    draft = Draft(repository="acme/shop", base_branch="no blanks", specify_text=TEXT, external_ref="ticket-7", shard=0)
    draft_file(attached.folder, {"XDG_STATE_HOME": str(attached.folder / "state")}).save(draft)

    async def show(pilot):
        await settle(pilot)
        await pilot.app.push_screen(make_screen("new_run"))
        await settle(pilot)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)


@pytest.mark.parametrize(("size", "theme"), SIZES)
def test_shards(attached, shards, snap_compare, size, theme):
    """One shard works, one has a dead login."""

    async def show(pilot):
        await settle(pilot)
        await pilot.press("2")
        await settle(pilot)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)


@pytest.mark.parametrize(("size", "theme"), SIZES)
def test_sign_in(attached, snap_compare, size, theme):
    """While the code is shown."""
    sign_in = SimulatedSignIn(attached.engine)

    async def show(pilot):
        await settle(pilot)
        await pilot.press("2")
        await settle(pilot)
        await pilot.press("i")
        await until(pilot, lambda: pilot.app.screen.query("#qr") and pilot.app.screen.query_one("#qr").display)
        await settle(pilot)

    try:
        assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)
    finally:
        sign_in.decided.set()


@pytest.mark.parametrize(("size", "theme"), SIZES)
def test_checks(attached, snap_compare, size, theme):
    """One problem, one note."""
    attached.findings = FINDINGS

    async def show(pilot):
        await settle(pilot)
        await pilot.press("3")
        await until(pilot, lambda: "note, checked" in str(pilot.app.screen.query_one("#head").content))
        await settle(pilot)

    assert snap_compare(attached.app(theme_name=theme), terminal_size=size, run_before=show)


@pytest.mark.parametrize(("size", "theme"), SIZES)
def test_help(attached, snap_compare, size, theme):
    """Opened from the shards."""

    async def show(pilot):
        await settle(pilot)
        await pilot.press("2", "question_mark")
        await settle(pilot)

    codes = [(code.value, meaning) for code, meaning in MEANINGS.items()]
    assert snap_compare(attached.app(theme_name=theme, exit_codes=codes), terminal_size=size, run_before=show)
