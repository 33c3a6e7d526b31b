"""`audit` shows who did what over the API and the command line."""

import os
import pwd
from datetime import datetime

import pytest

from moonmind_appliance.models import RunStatus
from tests.api.served import Served
from tests.cli.terminal import Terminal

USER = pwd.getpwuid(os.geteuid()).pw_name
NO_ENGINE = {"DOCKER_HOST": "unix:///no/such/docker.sock"}


def changes(terminal: Terminal, *words: str) -> list[tuple[str, str, str]]:
    """User, interface and kind of each change, oldest first."""
    found = terminal.call("audit", "--json", *words).json
    return [(entry["author"]["username"], entry["author"]["interface"], entry["kind"]) for entry in found][::-1]


def test_changes_over_the_api_are_those_of_the_tokens_user(served: Served, terminal: Terminal) -> None:
    """Submit, cancel, retry, drain and resume have the caller's address. Reads and refusals are not recorded."""
    run_id = served.submit()
    olga = served.client("olga")
    assert olga.post(f"/runs/{run_id}/cancel").status_code == 202
    assert olga.post(f"/runs/{run_id}/cancel").status_code == 409
    assert served.client().get(f"/runs/{run_id}").status_code == 200
    assert served.client().post(f"/runs/{run_id}/retry").status_code == 202
    assert served.client("bob").put("/drain").status_code == 403
    assert olga.put("/drain").status_code == 200
    assert olga.delete("/drain").status_code == 200
    assert changes(terminal) == [
        ("ann", "api", "run.queued"),
        ("olga", "api", "run.cancelled"),
        ("ann", "api", "run.retried"),
        ("olga", "api", "drain.began"),
        ("olga", "api", "drain.ended"),
    ]
    newest = terminal.call("audit", "--json", "--limit", "1").json[0]
    assert newest["author"] == {
        "subject": "local:olga",
        "username": "olga",
        "interface": "api",
        "address": "127.0.0.1",
    }
    assert datetime.fromisoformat(newest["at"]).tzinfo is not None


def test_two_requests_at_once_keep_their_authors(served: Served, terminal: Terminal) -> None:
    """Requests on one connection have their own authors, too. What the worker does later has no author."""
    client = served.client()
    for name in ("ann", "bob", "ann"):
        answer = client.post(
            "/runs",
            json={"repository": "acme/shop", "specify_text": "x"},
            headers={"Authorization": f"Bearer {served.tokens[name]}"},
        )
        assert answer.status_code == 202
    run = served.store.queue.claim(0, "lease", now=datetime.now().astimezone(), lease_seconds=60)
    assert run is not None
    served.store.progress.finish(
        run.run_id, "lease", RunStatus.CANCELLED, now=datetime.now().astimezone(), result_summary=None, failure=None
    )
    assert [user for user, *_ in changes(terminal)] == ["ann", "bob", "ann"]


def test_changes_by_commands_are_those_of_the_systems_user(served: Served, terminal: Terminal) -> None:
    """The name is that from before sudo. A command over HTTP is recorded as the token's user at the API."""
    terminal.call("token", "create", "--name", "ci")
    terminal.call("token", "revoke", "ci", SUDO_USER="ann")
    terminal.call("pause-shard", "1", **NO_ENGINE)
    terminal.call("prune", **NO_ENGINE)
    terminal.call("backup", str(terminal.home / "backup.tar.gz"))
    terminal.call("drain", MOONMIND_API_TOKEN=served.tokens["olga"], MOONMIND_SERVER=served.address)
    assert changes(terminal) == [
        (USER, "command", "token.created"),
        ("ann", "command", "token.revoked"),
        (USER, "command", "shard.paused"),
        (USER, "command", "retention.pruned"),
        (USER, "command", "backup.made"),
        ("olga", "api", "drain.began"),
    ]


def test_the_table_is_for_people(served: Served, terminal: Terminal) -> None:
    """One line for each change, newest first, without control characters."""
    served.submit()
    terminal.call("pause-shard", "1", SUDO_USER="\x1b[31mann", **NO_ENGINE)
    lines = terminal.call("audit").stdout.splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "USER", "BY", "CHANGE"]
    assert [" ".join(line.split()[2:]) for line in lines[1:] if line.split()[2:]] == [
        "ann command Shard 1: paused: it claims no more runs",
        f"ann api Run {served.store.run_lists.queued()[0].run_id[:8]}: queued for acme/shop",
    ]


def test_since_and_limit_bound_the_list(served: Served, terminal: Terminal) -> None:
    """Changes before the span are not shown."""
    for _ in range(3):
        served.submit()
    assert len(changes(terminal, "--limit", "2")) == 2
    assert len(changes(terminal, "--since", "1h")) == 3
    with served.store.database.write() as connection:
        connection.execute("UPDATE events SET at = '2026-01-01T00:00:00.000000Z'")
    assert changes(terminal, "--since", "1h") == []
    assert terminal.call("audit", "--since", "1h").stdout == "No changes are recorded.\n"


@pytest.mark.parametrize("span", ["yesterday", "0d", "1x"])
def test_an_invalid_span_is_refused(terminal: Terminal, span: str) -> None:
    """It is a usage error."""
    called = terminal.call("audit", "--since", span)
    assert called.code == 2
    assert "is not a time span" in called.stderr


def test_without_a_database_it_says_so(terminal: Terminal) -> None:
    """It does not create a database."""
    called = terminal.call("audit")
    assert called.code == 1
    assert "has no database" in called.stderr
    assert not terminal.data_dir.exists()
