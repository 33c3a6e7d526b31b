"""A support bundle has what a bug report needs, and no secret."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.cli.support_bundle import Gate
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store
from tests.backed_up import Filled, filled
from tests.cli.terminal import Called, Terminal

GITHUB = "ghp_" + "Zy9" * 12
CLIENT = "correct-horse-battery-staple"
PROXY = "pr0xy-passw0rd"
REFRESH = "rt_" + "Ab1" * 20
SETTINGS = {
    "GITHUB_TOKEN": GITHUB,
    "OIDC_CLIENT_SECRET": CLIENT,
    "GITHUB_HTTPS_PROXY": f"http://user:{PROXY}@proxy.example.com:3128",
    # No engine answers there.
    "DOCKER_HOST": "unix:///nonexistent.sock",
}


@pytest.fixture
def data(terminal: Terminal) -> Filled:
    return filled(terminal.data_dir)


def bundle(terminal: Terminal, *words: str, **variables: str) -> tuple[Called, dict[str, bytes]]:
    path = terminal.home / "bundle.tar.gz"
    called = terminal.call("support-bundle", str(path), "--force", *words, **{**SETTINGS, **variables})
    if called.code:
        return called, {}
    with tarfile.open(path) as tar:
        return called, {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr] # all are files


def test_what_is_in_it_is_printed(terminal: Terminal, data: Filled) -> None:
    """Every file with its size; and that it should be looked at before it is sent."""
    called, files = bundle(terminal)
    assert called.code == 0, called.stderr
    expected = {"README.txt", "versions.json", "machine.json", "settings.json", "doctor.json", "data_folder.json"}
    expected |= {"database.json", "shards.json", "events.jsonl", "service.log"}
    assert expected <= set(files)
    assert all(name in called.stdout for name in files)
    assert "nothing was sent" in called.stdout
    assert "look at it before you send it" in called.stdout
    assert json.loads(files["database.json"])["quick_check"] == ["ok"]
    assert {each["check"] for each in json.loads(files["doctor.json"])} >= {"data folder", "Docker engine"}
    assert b"not_collected" not in b"".join(files.values())


def test_the_answer_in_json(terminal: Terminal, data: Filled) -> None:
    """The same list."""
    called, files = bundle(terminal, "--json")
    assert {each["name"]: each["size_bytes"] for each in called.json["files"]} == {
        name: len(content) for name, content in files.items()
    }


def test_to_stdout(terminal: Terminal, data: Filled) -> None:
    """The archive is stdout, as a container has no folder for it; the list of files is stderr."""
    path = terminal.home / "out"
    with path.open("wb") as out:
        done = subprocess.run(
            terminal.command("support-bundle", "-"),
            env=terminal.whole_environment(SETTINGS),
            cwd=terminal.home,
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
        )
    assert b"nothing was sent" in done.stderr
    with tarfile.open(path) as tar:
        assert "README.txt" in tar.getnames()
    assert terminal.call("support-bundle", "-", "--json").code == 2


def test_no_secret_from_any_source(terminal: Terminal, data: Filled, tmp_path: Path) -> None:
    """Planted where redaction was bypassed: database, artifact, log of the journal, log of the terminal, env file."""
    store = Store.open(data.path)
    secrets = {"github": GITHUB, "client": CLIENT, "proxy": PROXY, "refresh": REFRESH, "api": data.token}
    with store.database.write() as connection:
        raw = super(type(connection), connection)
        raw.execute("UPDATE runs SET result_summary = ?, created_by = ?", (str(secrets), json.dumps({"subject": "a"})))
        raw.execute(
            "INSERT INTO events (kind, at, data) VALUES ('x', '2026-01-01T00:00:00Z', ?)", (json.dumps(secrets),)
        )
        raw.execute("UPDATE shards SET state = json_set(state, '$.login_reason', ?)", (str(secrets),))
        raw.execute(
            "UPDATE runs SET created_by = ?",
            (json.dumps({"subject": "local:ann", "username": f"ann {CLIENT}", "operator": False}),),
        )
        raw.execute("UPDATE specifications SET text = ?", (str(secrets),))
    (artifact,) = store.artifacts.list(data.ended.run_id)
    ArtifactFiles(data.path).path(artifact.storage_path).write_text(str(secrets))
    store.close()
    (data.path / "tui-errors.log").write_text(f"Traceback {secrets}\n{CLIENT[:10]}")
    tool = tmp_path / "journalctl"
    tool.write_text(f"#!/bin/sh\ncat <<'E'\n{secrets} ann@example.com\nE\n")
    tool.chmod(0o755)
    words = ["--run", data.ended.run_id, "--artifacts", "--texts"]
    called, files = bundle(terminal, *words, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert called.code == 0, called.stderr
    found = [(name, kind) for name, content in files.items() for kind, it in secrets.items() if it.encode() in content]
    assert found == []
    assert f"runs/{data.ended.run_id}/artifacts/specify.log" in files
    assert all(
        b"[redacted:" in files[name] for name in ("events.jsonl", "shards.json", "service.log", "tui-errors.log")
    )
    assert b"ann@example.com" not in files["service.log"]


def test_settings_that_cannot_be_used_stop_nothing(terminal: Terminal, data: Filled) -> None:
    """That is when a bundle is needed: the problems are in it, and no secret of the unusable settings."""
    (data.path.parent / "secret").write_text(CLIENT)
    called, files = bundle(
        terminal,
        MOONMIND_PORT=f"x{CLIENT}",
        OIDC_CLIENT_SECRET="",
        OIDC_CLIENT_SECRET_FILE=str(terminal.home / "secret"),
    )
    assert called.code == 0, called.stderr
    assert "MOONMIND_PORT" in json.loads(files["settings.json"])["not_collected"]
    assert CLIENT.encode() not in b"".join(files.values())


def test_an_unusable_database_stops_nothing(terminal: Terminal) -> None:
    """The bundle says why, and there is no part that needs it."""
    terminal.data_dir.mkdir(mode=0o700)
    (terminal.data_dir / "appliance.db").write_bytes(b"damaged" * 1000)
    called, files = bundle(terminal)
    assert called.code == 0, called.stderr
    assert "not a database" in json.loads(files["database.json"])["not_collected"]
    assert "events.jsonl" not in files
    assert bundle(terminal, "--run", "latest")[0].code == 1


def test_without_a_data_folder(terminal: Terminal) -> None:
    """None is created."""
    called, files = bundle(terminal)
    assert called.code == 0, called.stderr
    assert "doctor.json" in files
    assert not terminal.data_dir.exists()


def test_repositories_are_numbered_unless_wanted(terminal: Terminal, data: Filled) -> None:
    """The same name has the same number everywhere; texts are only in it on request."""
    words = ["--run", data.ended.run_id]
    _, files = bundle(terminal, *words)
    content = b"".join(files.values())
    assert b"acme/shop" not in content
    assert b"repository-" in files["events.jsonl"]
    assert b"Add it." not in content
    _, files = bundle(terminal, *words, "--repositories", "--texts")
    assert b"acme/shop" in files["events.jsonl"]
    assert files[f"runs/{data.ended.run_id}/specification.md"] == b"Add it."


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--artifacts"], 2, "need --run"),
        (["--run", "ffffffff"], 6, "No run id starts with"),
        (["--run", "x"], 2, "not a run id"),
    ],
)
def test_wrong_calls(terminal: Terminal, data: Filled, words: list[str], code: int, problem: str) -> None:
    """No file is left."""
    called, _ = bundle(terminal, *words)
    assert called.code == code
    assert problem in called.stderr
    assert not (terminal.home / "bundle.tar.gz").exists()


def test_the_gate() -> None:
    """Keys and values, texts and bytes; a longer name is not cut by a shorter one."""
    gate = Gate(Redactor({"GITHUB_TOKEN": GITHUB}), ["acme/shop", "acme/shop-2"])
    text = f"Acme/Shop, acme/shop-2 and acme/shopping of a.b@example.com: {GITHUB}"
    expected = "repository-1, repository-2 and acme/shopping of [e-mail]: [redacted:GITHUB_TOKEN]"
    assert gate.text(text) == expected
    assert gate.cleaned(text.encode()) == expected.encode()
    assert json.loads(gate.cleaned({GITHUB: [text, 1, None, True]})) == {
        "[redacted:GITHUB_TOKEN]": [expected, 1, None, True]
    }
    assert Gate(Redactor(), []).text("acme/shop") == "acme/shop"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login password=hunter2 done", "login password=[redacted:password] done"),
        ("PGPASSWORD: 'hunter2'", "PGPASSWORD: '[redacted:password]'"),
        ('{"db_secret":"hunter2","a":1}', '{"db_secret":"[redacted:password]","a":1}'),
        (r'"text": "api_key = \"hunter2\""', r'"text": "api_key = \"[redacted:password]\""'),
        ("?pwd=hunter2&x=1", "?pwd=[redacted:password]&x=1"),
        ("The password is wrong. Secrets: 3.", "The password is wrong. Secrets: 3."),
        ("WEBHOOK_SECRET=*** password=[redacted:x]", "WEBHOOK_SECRET=*** password=[redacted:x]"),
    ],
)
def test_a_value_that_is_called_a_password(text: str, expected: str) -> None:
    """Is redacted, although it does not look like a token."""
    assert Gate(Redactor(), []).text(text) == expected


def test_a_callers_reference(terminal: Terminal, data: Filled) -> None:
    """Is in the bundle only with the texts."""
    with Store.open(data.path).database.write() as connection:
        connection.execute("UPDATE runs SET external_ref = 'for Bob'")
    name = f"runs/{data.ended.run_id}/run.json"
    _, files = bundle(terminal, "--run", data.ended.run_id)
    assert json.loads(files[name])["external_ref"] == "[left out]"
    _, files = bundle(terminal, "--run", data.ended.run_id, "--texts", "--force")
    assert json.loads(files[name])["external_ref"] == "for Bob"


def test_a_data_folder_that_cannot_be_examined_is_no_defect(terminal: Terminal) -> None:
    """As that of another user; here its name is too long for the file system. The other files are in the bundle."""
    called, files = bundle(terminal, MOONMIND_DATA_DIR=f"/{'x' * 300}")
    assert called.code == 0, called.stderr
    assert {"versions.json", "settings.json", "doctor.json"} <= set(files)
