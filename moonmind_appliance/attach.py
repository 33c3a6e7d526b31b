"""The resources of one process, created from its settings and closed in order.

The serving process (`appliance.py`) attaches, and so does every command and the TUI that does more than read the
database. A command that only reads it opens only the store (`cli/runs/direct.py`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.folders import FolderEngine
from moonmind_appliance.dispatch import Wakeups
from moonmind_appliance.github import GitHub, GitHubApp
from moonmind_appliance.models import LABEL_REPOSITORY, LABEL_RUN, ShardNames
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.resources import Resources, utc_now
from moonmind_appliance.settings import Settings, secrets_of
from moonmind_appliance.store import Store


def shard_names(settings: Settings) -> tuple[ShardNames, ...]:
    """The shards' names, by number."""
    return tuple(ShardNames(index, settings.codex_volume_prefix) for index in range(settings.codex_shards))


def engine_of(settings: Settings) -> DockerEngine:
    """The container engine of these settings; nothing is connected yet. The caller closes it."""
    if settings.workspaces_volume is None:
        return DockerEngine(settings.docker_host)
    return FolderEngine(
        settings.docker_host,
        volume=settings.workspaces_volume,
        folder=settings.moonmind_data_dir / "workspaces",
        kept_as_folders={LABEL_RUN, LABEL_REPOSITORY},
    )


@contextmanager
def attach(
    settings: Settings, *, wakeups: Wakeups | None = None, redactor: Redactor | None = None
) -> Iterator[Resources]:
    """The verbs' dependencies, with these settings; creates and migrates the data folder if needed.

    The end of the `with` block closes the database and the clients of the engine and GitHub.

    Raises:
        StoreError: the data folder or its database cannot be used; nothing is left open.
        SettingsError: a setting cannot be used, such as a token that cannot be sent; nothing is left open.
    """
    redactor = redactor or Redactor(secrets_of(settings))
    with ExitStack() as opened:
        store = Store.open(settings.moonmind_data_dir, redact=redactor.redact_text)
        opened.callback(store.close)
        engine = engine_of(settings)
        opened.callback(engine.close)
        github = GitHub.of(settings)
        if github is not None:
            opened.callback(github.close)
        app = GitHubApp.of(settings, known=redactor)
        if app is not None:
            opened.callback(app.close)
        shards = shard_names(settings)
        wakeups = wakeups or Wakeups(settings.moonmind_data_dir, shards)
        yield Resources(
            settings=settings,
            store=store,
            engine=engine,
            github=github,
            github_app=app,
            agent=agent_of(settings),
            redactor=redactor,
            files=ArtifactFiles(settings.moonmind_data_dir),
            wakeups=wakeups,
            shards=shards,
            appliance_id=store.appliance_id,
            clock=utc_now,
        )
