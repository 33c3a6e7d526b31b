"""No secret is written to the database, in any field, and the rows stay readable."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from moonmind_appliance.models import (
    Actor,
    AgentInfo,
    Artifact,
    ArtifactType,
    FailureCode,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunFilter,
    RunStatus,
    Shard,
    WaitingFor,
    WaitReason,
    failure,
)
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.store import Store
from moonmind_appliance.store.redacting import LONGEST_TEXT, MOST_ENTRIES
from tests.shard_states import save_shard

BY_FORM = "ghp_canary00000000000000000000000000000001"
BY_VALUE = "canary value without any form 0123456789"
CANARIES = (BY_FORM, BY_VALUE)


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    store = Store.open(data_dir, redact=Redactor({"OIDC_CLIENT_SECRET": BY_VALUE}).redact_text)
    yield store
    store.close()


@pytest.fixture
def claimed(store: Store, make_run: Callable[..., Run], now: datetime) -> Run:
    store.runs.insert(make_run())
    run = store.queue.claim(0, "lease", now=now, lease_seconds=60)
    assert run is not None
    return run


def on_disk(data_dir: Path) -> bytes:
    """The bytes of the database, its WAL and all files beside them."""
    return b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())


def write_everywhere(store: Store, run: Run, now: datetime, text: str) -> None:
    """Write every text that an executor passes to the store."""
    nested = {"turn": {"thread_id": text, "usage": {text: 1}}, "paths": [text, {"path": text}]}
    store.progress.save_phase(
        run.run_id,
        "lease",
        Phase(
            phase=PhaseName.PREPARE_JOB,
            status=PhaseStatus.RUNNING,
            metadata=nested,
            stdout_path=text,
            stderr_path=text,
        ),
    )
    store.progress.update(
        run.run_id,
        "lease",
        branch_name=text,
        pull_request_url=text,
        clarifications=[text],
        result_summary=text,
        agent=AgentInfo(text, text, text),
    )
    store.events.add("canary", run_id=run.run_id, shard=0, data=nested)
    save_shard(store, Shard(shard=0, login_reason=text, account_email=text), event="canary", data={text: text})
    store.artifacts.save(
        Artifact(
            artifact_id="a",
            run_id=run.run_id,
            name=text,
            artifact_type=ArtifactType.STDOUT_LOG,
            storage_path=text,
            content_type="text/plain",
            size_bytes=1,
            sha256="",
            source_phase=PhaseName.PREPARE_JOB,
            created_at=now,
        )
    )
    store.queue.release(run.run_id, "lease", waiting_for=WaitingFor(WaitReason.ENGINE, None, text), interrupted=False)
    assert store.queue.claim(0, "lease", now=now, lease_seconds=60) is not None
    store.progress.finish(
        run.run_id,
        "lease",
        RunStatus.FAILED,
        now=now,
        result_summary=text,
        failure=failure(FailureCode.AGENT_FAILED, text),
    )


@pytest.mark.parametrize("shape", ["{}", "The agent said: {}.", 'Authorization: Bearer {}"', '"{}\\', "\n{}\n"])
def test_no_field_keeps_a_secret(store: Store, data_dir: Path, claimed: Run, now: datetime, shape: str) -> None:
    """Secrets are redacted by value and by form, alone, quoted and beside other text; every row can still be read."""
    write_everywhere(store, claimed, now, " ".join(shape.format(canary) for canary in CANARIES))
    assert [canary for canary in CANARIES if canary.encode() in on_disk(data_dir)] == []
    kept = store.runs.get(claimed.run_id)
    assert kept is not None
    assert "[redacted:" in str(kept.failure)
    assert "[redacted:" in str(kept.phases[0].metadata)
    assert "[redacted:" in str(store.shards.get(0))
    assert "[redacted:" in str(store.events.after(0))
    assert "[redacted:" in str(store.artifacts.list(claimed.run_id))


def test_a_statement_of_its_own_is_redacted_too(store: Store, data_dir: Path) -> None:
    """The connection redacts, so that also SQL outside of the stores is redacted."""
    with store.database.write() as connection:
        connection.execute("INSERT INTO appliance VALUES (?, ?)", ("one", BY_FORM))
        connection.execute("INSERT INTO appliance VALUES (:key, :value)", {"key": "two", "value": BY_VALUE})
        connection.executemany("INSERT INTO appliance VALUES (?, ?)", [("three", BY_FORM), ("four", BY_VALUE)])
        connection.execute("UPDATE appliance SET value = ? WHERE key = 'one'", (BY_VALUE,))
    assert [canary for canary in CANARIES if canary.encode() in on_disk(data_dir)] == []


def test_a_store_without_a_redactor_knows_secrets_by_their_form(tmp_path: Path) -> None:
    """One form is that of `moonmind-appliance token`."""
    store = Store.open(tmp_path / "other")
    store.events.add("canary", data={"text": BY_FORM})
    assert store.events.after(0)[0].data == {"text": "[redacted:GitHub token]"}
    store.close()


def test_the_specification_and_the_callers_name_are_unchanged(store: Store, make_run: Callable[..., Run]) -> None:
    """The agent gets the text byte for byte; two callers never get the same name."""
    text = "Connect to https://reader:secret@example.invalid/feed."
    subjects = ["https://a:secret-one@example.invalid", "https://b:secret-two@example.invalid"]
    kept = [store.runs.insert(make_run(specify_text=text, created_by=Actor(subject, "ann"))) for subject in subjects]
    assert [run.specify_text for run in kept] == [text, text]
    assert [run.created_by.subject for run in kept] == subjects
    found = store.run_lists.page(RunFilter(created_by=subjects[1]), limit=9)
    assert [run.run_id for run in found] == [kept[1].run_id]


def test_long_values_are_cut(store: Store, claimed: Run) -> None:
    """Texts, lists and dictionaries of a row each have a limit, and so does the row."""
    long = "x" * (LONGEST_TEXT + 1)
    data = {"text": long, "list": ["y"] * 5000, "dict": {str(n): n for n in range(5000)}, "much": [long] * 900}
    store.events.add("canary", run_id=claimed.run_id, data=data)
    kept = store.events.after(0, run_id=claimed.run_id)[-1].data
    assert len(kept["text"]) == LONGEST_TEXT + 1
    assert (len(kept["list"]), len(kept["dict"])) == (MOST_ENTRIES, MOST_ENTRIES)
    assert len(json.dumps(kept)) < 2 * 1024 * 1024
