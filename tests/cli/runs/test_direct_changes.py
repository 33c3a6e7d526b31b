"""The verbs that change something on the data folder: they check every setting, which reading does not."""

import pytest

from moonmind_appliance.cli.runs.direct_changes import Changes
from moonmind_appliance.cli.system_user import system_actor
from moonmind_appliance.models import RunStatus
from moonmind_appliance.runs.submit import SubmitRequest
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store
from tests.cli.terminal import Terminal


@pytest.mark.parametrize("setting", ["GITHUB_TOKEN", "EXTRA_CA_CERTS"])
def test_a_setting_that_cannot_be_used_is_refused(terminal: Terminal, setting: str) -> None:
    """By each verb, before it changes anything. Commands that only read do not use the setting."""
    Store.open(terminal.data_dir).close()
    not_a_bundle = terminal.home / "empty.pem"
    not_a_bundle.touch()
    bad = {"GITHUB_TOKEN": "ghp_…", "EXTRA_CA_CERTS": str(not_a_bundle)}
    given = {"GITHUB_TOKEN": "ghp_0123456789012345678901234567890123ab"} | {setting: bad[setting]}
    submit = ["submit", "--repository", "acme/shop", "--spec", "-"]
    # The other verbs look for the run first.
    terminal.call("runs", *submit, stdin="Basket.", MOONMIND_PORT="9")
    for words in (submit, ["cancel", "latest"], ["retry", "latest"]):
        called = terminal.call("runs", *words, stdin="Basket.", MOONMIND_PORT="9", **given)
        assert (called.code, setting in called.stderr) == (3, True), words
    for command in ("drain", "resume"):
        assert terminal.call(command, **given).code == 3
    assert terminal.call("runs", "list", **given).code == 0
    (run,) = terminal.call("runs", "list", "--json").json["items"]
    assert run["status"] == RunStatus.QUEUED
    assert terminal.call("doctor", "--json", **given).code != 0


def test_a_verb_works_on_the_folder_that_is_read(terminal: Terminal) -> None:
    """Each verb is seen by another connection at once, and `close` may be called twice."""
    messages: list[str] = []
    settings = Settings(moonmind_data_dir=terminal.data_dir, moonmind_port=9)
    changes = Changes(settings, system_actor(), on_message=messages.append)
    store = Store.open(terminal.data_dir)
    run_id = changes.submit(SubmitRequest(repository="acme/shop", specify_text="Basket."), None).run_id
    assert changes.cancel(run_id).status == RunStatus.CANCELLED
    assert changes.retry(run_id).status == RunStatus.QUEUED
    assert len(messages) == 2
    changes.drain()
    assert store.drain.since() is not None
    changes.resume()
    assert store.drain.since() is None
    changes.close()
    changes.close()
    run = store.runs.get(run_id)
    assert run is not None
    assert run.status is RunStatus.QUEUED
    store.close()
