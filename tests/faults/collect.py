"""Collects the facts that `invariants.py` checks: from the database, the files, Docker, and the stand-ins."""

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_REPOSITORY, LABEL_RUN
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.leftovers import volume_prefix
from moonmind_appliance.rehearsal.openai import StandInOpenAI
from tests.faults.invariants import ArtifactRow, EventRow, Facts, FileOnDisk, Pull, RunRow


def open_to_read(data_dir: Path) -> "closing[sqlite3.Connection]":
    """The appliance's database, read-only, for a `with` block; also while no process serves it."""
    connection = sqlite3.connect(
        f"file:{data_dir / 'appliance.db'}?mode=ro", uri=True, timeout=15, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    return closing(connection)


def collect(
    environment: RehearsalEnvironment,
    accepted: dict[str, Collection[str]],
    *,
    repositories: Iterable[str],
    secrets: Mapping[str, str],
    searched: Iterable[Path] = (),
    shards: int,
) -> Facts:
    """Everything, after the last run ended. `searched`: other files to search for secrets, such as the log."""
    facts = Facts(accepted=accepted)
    data_dir = environment.data_dir
    _read_database(facts, data_dir, shards)
    facts.files, facts.other_files = files_of(data_dir)
    _read_github(facts, environment, repositories)
    without_volumes = {event.run_id for event in facts.events if event.kind == "artifacts.removed"}
    kept = {run.run_id for run in facts.runs} - without_volumes
    facts.left_in_docker = left_in_docker(environment, kept, shards)
    git_folders = [environment.github.git_folder(repository) for repository in repositories]
    facts.secrets = sorted([*secrets_in_files([data_dir, *searched], secrets), *secrets_in_git(git_folders, secrets)])
    return facts


def known_secrets(environment: RehearsalEnvironment, tokens: Mapping[str, str]) -> dict[str, str]:
    """Every secret that the appliance or its agents had, by a name for the report."""
    found = {"the GitHub token": environment.github_token, **tokens}
    found |= {f"a token of OpenAI, {place}": token for place, token in tokens_of(environment.openai)}
    basic = base64.b64encode(f"x-access-token:{environment.github_token}".encode()).decode()
    return {**found, "the GitHub token in base64": basic}


def tokens_of(openai: StandInOpenAI) -> Iterator[tuple[str, str]]:
    """Every access and refresh token that was issued, with its place."""
    for kind, grants in (("access", openai.accounts._access), ("refresh", openai.accounts._refresh)):
        for number, token in enumerate(list(grants)):
            yield f"{kind} {number}", token


def _read_database(facts: Facts, data_dir: Path, shards: int) -> None:
    with open_to_read(data_dir) as connection:
        connection.execute("BEGIN")
        facts.runs = [
            RunRow(
                row["run_id"],
                row["status"],
                json.loads(row["failure"])["code"] if row["failure"] else None,
                row["branch_name"],
                row["pull_request_url"],
                bool(row["dry_run"]),
            )
            for row in connection.execute("SELECT * FROM runs ORDER BY accepted_at")
        ]
        facts.events = [
            EventRow(row["event_id"], row["kind"], row["run_id"], json.loads(row["data"]))
            for row in connection.execute("SELECT * FROM events ORDER BY event_id")
        ]
        facts.artifacts = artifact_rows(connection)
        for row in connection.execute("SELECT * FROM phases WHERE status = 'succeeded'"):
            paths = [path for path in (row["stdout_path"], row["stderr_path"]) if path]
            facts.phase_logs.setdefault(row["run_id"], []).extend(paths)
        facts.removed = {
            row["run_id"] for row in connection.execute("SELECT run_id FROM events WHERE kind = 'artifacts.removed'")
        } | _over(connection)
        facts.database = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        facts.database += [
            f"a row of {row[0]} refers to a missing row of {row[2]}"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
        states = {
            row["shard"]: json.loads(row["state"]).get("login", "unknown")
            for row in connection.execute("SELECT shard, state FROM shards")
        }
        facts.logins = {shard: states.get(shard, "unknown") for shard in range(shards)}


def _over(connection: sqlite3.Connection) -> set[str]:
    """Runs whose retention may be in progress."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    rows = connection.execute("SELECT DISTINCT run_id FROM artifacts WHERE expires_at <= ?", (now,))
    return {row["run_id"] for row in rows}


def artifact_rows(connection: sqlite3.Connection, run_id: str | None = None) -> list[ArtifactRow]:
    """The artifact rows, of one run or of all."""
    rows = connection.execute("SELECT * FROM artifacts WHERE ? IS NULL OR run_id = ?", (run_id, run_id))
    return [ArtifactRow(row["run_id"], row["storage_path"], row["size_bytes"], row["sha256"]) for row in rows]


def files_of(data_dir: Path, run_id: str | None = None) -> tuple[dict[str, FileOnDisk], list[str]]:
    """The files of artifacts, of one run or of all, and the paths of all other files; relative to the data folder."""
    artifacts: dict[str, FileOnDisk] = {}
    others = []
    top = data_dir if run_id is None else data_dir / "runs" / run_id
    for path in sorted(top.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(data_dir).as_posix()
        if name.startswith("runs/"):
            # Retention may remove it meanwhile.
            with suppress(FileNotFoundError):
                content = path.read_bytes()
                artifacts[name] = FileOnDisk(len(content), hashlib.sha256(content).hexdigest())
        else:
            others.append(name)
    return artifacts, others


def _read_github(facts: Facts, environment: RehearsalEnvironment, repositories: Iterable[str]) -> None:
    for repository in repositories:
        folder = environment.github.git_folder(repository)
        for pull in environment.github.pull_requests(repository):
            counted = _git(folder, "rev-list", "--count", f"{pull.base}..{pull.head}")
            facts.pulls.append(Pull(repository, pull.head, pull.html_url, int(counted)))
        facts.branches += [f"{repository} {name}" for name in environment.github.branches(repository) - {"main"}]


def left_in_docker(environment: RehearsalEnvironment, kept: Collection[str], shards: int) -> list[str]:
    """Containers, volumes and networks of this appliance that should not exist when nothing runs.

    A repository may have one cache.

    `kept`: the ids of runs whose workspaces retention has not removed yet.
    """
    engine, prefix = environment.engine, volume_prefix(environment.id)
    label = {LABEL_APPLIANCE: appliance_id(environment.data_dir)}
    left = [f"container {each.name}" for each in containers_of(engine, environment)]
    cached = set[str]()
    for volume in engine.volumes(label):
        of_run = volume.labels.get(LABEL_RUN)
        is_login = volume.name in {f"{prefix}{number}" for number in range(shards)}
        repository = volume.labels.get(LABEL_REPOSITORY)
        if repository and repository not in cached:
            cached.add(repository)
        elif not is_login and of_run not in kept:
            left.append(f"volume {volume.name}")
    listed = _docker(
        "network", "ls", "--filter", f"label={LABEL_APPLIANCE}={label[LABEL_APPLIANCE]}", "--format={{.Name}}"
    )
    left += [f"network {name}" for name in listed.split() if name != environment.network]
    return left


def containers_of(engine: ContainerEngine, environment: RehearsalEnvironment) -> list[Any]:
    """The appliance's containers, running or not."""
    return list(engine.containers({LABEL_APPLIANCE: appliance_id(environment.data_dir)}))


def appliance_id(data_dir: Path) -> str:
    """The id in the appliance's Docker labels."""
    with open_to_read(data_dir) as connection:
        return str(connection.execute("SELECT value FROM appliance WHERE key = 'appliance_id'").fetchone()[0])


def secrets_in_files(places: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """Where a secret occurs in the files below these places."""
    found = []
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                found += [f"{name} in {path}" for name, secret in secrets.items() if secret.encode() in content]
    return found


def secrets_in_git(folders: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """Where a secret occurs in any object of these repositories, also in commits that no branch contains."""
    found = []
    for folder in folders:
        content = _git_bytes(folder, "cat-file", "--batch-all-objects", "--batch")
        found += [
            f"{name} in the repository {folder.name}" for name, secret in secrets.items() if secret.encode() in content
        ]
    return found


def _git(folder: Path, *arguments: str) -> str:
    return _git_bytes(folder, *arguments).decode(errors="replace").strip()


def _git_bytes(folder: Path, *arguments: str) -> bytes:
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, env=os.environ | {"LC_ALL": "C"}).stdout


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
