"""A short command loads only what it uses: libraries that it does not need would be most of its time."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from moonmind_appliance.settings import Settings
from moonmind_appliance.store import Store
from tests.cli.terminal import Terminal
from tests.typical_runs import store_runs

# Of the engine, of HTTP, of the wake-ups, of the API, of logins, of the terminal interface, of redaction.
HEAVY = {
    "authlib",
    "cryptography",
    "docker",
    "httpx",
    "huey",
    "hyperscan",
    "joserfc",
    "litestar",
    "markdown_it",
    "prometheus_client",
    "requests",
    "standardwebhooks",
    "textual",
    "uvicorn",
    "yaml",
    "moonmind_appliance.appliance",
    "moonmind_appliance.attach",
    "moonmind_appliance.redaction",
    "moonmind_appliance.resources",
}
ENGINE = {"docker", "requests"}

READING = [
    ["runs", "list"],
    ["runs", "list", "--json"],
    ["runs", "list", "--status", "failed"],
    ["runs", "show", "latest"],
    ["runs", "artifacts", "latest"],
    ["runs", "logs", "latest"],
    ["runs", "watch", "latest"],
    ["shards"],
    ["token", "list"],
]


def imported(terminal: Terminal, *words: str) -> set[str]:
    """The modules that this call imports, as Python itself reports them; the call must succeed."""
    command = [sys.executable, "-X", "importtime", *terminal.command(*words)[1:]]
    done = subprocess.run(
        command, cwd=terminal.home, env=terminal.whole_environment(), capture_output=True, text=True, check=False
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 0, [line for line in lines if not line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


@pytest.fixture
def with_a_run(terminal: Terminal) -> Iterator[Terminal]:
    """A data folder with one ended run and its logs, in which `serve` has run."""
    store = Store.open(terminal.data_dir)
    (run_id,) = store_runs(store, 1)
    for artifact in store.artifacts.list(run_id):
        path = terminal.data_dir / artifact.storage_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")
    store.shards.all(Settings().codex_shards)
    store.close()
    return terminal


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["runs", "--help"], ["settings"], ["settings", "--json"]])
def test_a_command_without_data_loads_no_adapter(terminal: Terminal, words: list[str]) -> None:
    """Nor the store."""
    found = imported(terminal, *words)
    assert "moonmind_appliance.cli.program" in found
    assert sorted(found & (HEAVY | {"sqlite3", "moonmind_appliance.store"})) == []


def test_version_loads_the_engines_client_only(terminal: Terminal) -> None:
    """It shows the versions of the engine and of the tools in the job image."""
    terminal.variables["DOCKER_HOST"] = f"unix://{terminal.home}/none.sock"
    found = imported(terminal, "version")
    assert "docker" in found
    assert sorted(found & (HEAVY - ENGINE | {"sqlite3", "moonmind_appliance.store"})) == []


@pytest.mark.parametrize("words", READING)
def test_a_reading_command_loads_the_store_only(with_a_run: Terminal, words: list[str]) -> None:
    """On the data folder. What changes something needs the engine, GitHub and the wake-ups; reading does not."""
    found = imported(with_a_run, *words)
    assert "moonmind_appliance.store" in found
    assert sorted(found & HEAVY) == []


def test_the_listed_modules_exist(with_a_run: Terminal) -> None:
    """A wrong name would never be imported: a command that changes something loads the important ones."""
    found = imported(with_a_run, "drain")
    assert found >= {
        "docker",
        "httpx",
        "huey",
        "moonmind_appliance.attach",
        "moonmind_appliance.redaction",
        "moonmind_appliance.resources",
    }
