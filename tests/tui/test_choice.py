"""A field with a few values."""

import pytest

from moonmind_appliance.models import LoginState, Shard
from tests.shard_states import save_shard
from tests.tui.form_page import open_form

pytestmark = pytest.mark.anyio


async def test_the_shard_field_shows_each_shards_login(attached):
    """Its account, or that the run would wait."""
    save_shard(attached.store, Shard(shard=0, login=LoginState.PRESENT, account_email="ada@example.org"))
    save_shard(attached.store, Shard(shard=1, login=LoginState.DEAD))
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        field = form.query_one("#shard")
        app.set_focus(field)
        seen = []
        for _ in range(4):
            seen.append(str(field.render()))
            await pilot.press("right")
        assert seen == ["< any >", "< 0 ada@example.org >", "< 1 dead login: the run waits for a new one >", "< any >"]
        await pilot.press("left", "left")
        assert form.draft.shard == 1
