"""`purge`: removes what an appliance left on the Docker engine, and on request its logins and data."""

from contextlib import ExitStack
from pathlib import Path

import click
import msgspec
from rich.text import Text

from moonmind_appliance.attach import engine_of
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import table
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.runs import purge as verb
from moonmind_appliance.runs.purge import Belongings, Purged
from moonmind_appliance.settings import Settings, default_of
from moonmind_appliance.store import DATABASE_NAME, DataFolderLock, Store
from moonmind_appliance.store.erase import erase_data


class Listed(msgspec.Struct, frozen=True):
    """The answer of `--list` in JSON. `this` is the id of the data folder's appliance, null without a database."""

    this: str | None
    appliances: list[Belongings]


class Answer(msgspec.Struct, frozen=True):
    """The answer in JSON; with --dry-run `removed` and `failed` are empty."""

    found: Belongings
    removed: list[str] = []
    failed: dict[str, str] = {}
    data: list[str] = []


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call."""

    appliance_id: str | None = None
    logins: bool = False
    data: bool = False
    dry_run: bool = False
    yes: bool = False


@click.command(
    cls=Command,
    examples=[
        ("See what would be removed", f"{PROGRAM} purge --dry-run"),
        ("Remove the containers and workspaces of this appliance, without confirmation", f"{PROGRAM} purge --yes"),
        ("Find appliances whose data folder is gone, and remove one", f"{PROGRAM} purge --list"),
        ("Remove everything, also the logins and the database", f"{PROGRAM} purge --logins --data"),
    ],
)
@click.option("--list", "list_only", is_flag=True, help="List the appliances on this engine, and remove nothing.")
@click.option("--appliance-id", metavar="ID", help="The appliance to purge, if not the data folder's; see --list.")
@click.option("--logins", is_flag=True, help="Also remove the volumes with the ChatGPT logins.")
@click.option("--data", is_flag=True, help="Also remove the database, artifacts and backups from the data folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def purge(
    invocation: Invocation,
    appliance_id: str | None,
    *,
    list_only: bool,
    logins: bool,
    data: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove what an appliance left on the Docker engine.

    Removes containers, the volumes with workspaces of runs, caches of repositories and interrupted sign-ins, and the
    network of the job containers if no other appliance uses it. Objects of other appliances are never touched. Stop the
    appliance first: the command refuses while `serve` uses the data folder. Removing a login does not sign the account
    out at OpenAI; `logout-shard N` does. Safe to repeat.
    """
    if data and appliance_id is not None:
        raise click.UsageError("--data applies to this data folder, --appliance-id to another appliance: use only one.")
    if invocation.as_json and not (yes or dry_run or list_only):
        raise click.UsageError("With --json the command cannot ask for confirmation: add --yes or --dry-run.")
    settings = invocation.settings()
    engine = engine_of(settings)
    try:
        if list_only:
            show_appliances(invocation, settings, engine)
        else:
            request = Request(appliance_id=appliance_id, logins=logins, data=data, dry_run=dry_run, yes=yes)
            remove_one(invocation, settings, engine, request)
    finally:
        engine.close()


def show_appliances(invocation: Invocation, settings: Settings, engine: ContainerEngine) -> None:
    """`--list`."""
    this = appliance_id_of(settings.moonmind_data_dir)
    found = verb.appliances_on(engine)
    shown = table("appliance", "containers", "running", "workspaces", "logins", "")
    for each in found:
        counts = (each.containers, each.running, each.workspaces, each.logins)
        mine = "this data folder" if each.appliance_id == this else ""
        shown.add_row(each.appliance_id, *(str(len(names)) for names in counts), mine)
    invocation.print_result(
        Listed(this, found), shown if found else Text("There are no objects of any appliance on this engine.")
    )


def remove_one(invocation: Invocation, settings: Settings, engine: ContainerEngine, request: Request) -> None:
    """Remove the objects of one appliance.

    Raises:
        DataFolderInUse: `serve` uses the data folder of that appliance.
        CommandFailed: not confirmed, or something could not be removed.
    """
    with ExitStack() as held:
        this = appliance_id_of(settings.moonmind_data_dir)
        own = request.appliance_id in {None, this}
        if own and settings.moonmind_data_dir.is_dir():
            lock = DataFolderLock(settings.moonmind_data_dir)
            lock.acquire()
            held.callback(lock.release)
        prefix = settings.codex_volume_prefix if own else None
        # Without a database no object carries this appliance's id, but its logins may be there.
        found = verb.belongings(engine, request.appliance_id or this or "", login_prefix=prefix)
        names = found.names(logins=request.logins)
        invocation.progress.print(_summary(found, settings, request), soft_wrap=True)
        if request.dry_run or not (names or request.data):
            invocation.print_result(Answer(found))
            return
        if not request.yes:
            _confirm()
        done = verb.purge(engine, found, logins=request.logins, network=_network(settings, engine, found))
        erased = erase_data(settings.moonmind_data_dir) if request.data and not done.failed else []
    _report(invocation, found, done, erased)


def appliance_id_of(data_dir: Path) -> str | None:
    """The id in the data folder's database; None without a database, and none is created."""
    if not (data_dir / DATABASE_NAME).exists():
        return None
    store = Store.open(data_dir)
    try:
        return store.appliance_id
    finally:
        store.close()


def _network(settings: Settings, engine: ContainerEngine, found: Belongings) -> str | None:
    """The job network, if it is the appliance's own and no other appliance has anything on the engine."""
    others = [each for each in verb.appliances_on(engine) if each.appliance_id != found.appliance_id]
    own = settings.job_network == default_of("JOB_NETWORK")
    return settings.job_network if own and not others else None


def _summary(found: Belongings, settings: Settings, request: Request) -> Text:
    lines = [f"Appliance {found.appliance_id} on this engine:"]
    if not found.appliance_id:
        folder = settings.moonmind_data_dir
        lines = [f"{folder} has no database, so nothing but logins can be found for it; see `{PROGRAM} purge --list`."]
    kept = "" if request.logins else " (kept without --logins)"
    parts = [
        ("containers", found.containers, f" ({len(found.running)} running)" if found.running else ""),
        ("workspaces of runs", found.workspaces, ""),
        ("caches of repositories", found.caches, ""),
        ("volumes of interrupted sign-ins", found.others, ""),
        ("ChatGPT logins", found.logins, kept),
    ]
    for what, names, note in parts:
        lines.append(f"  {what}: {len(names)}{note}")
        lines += [f"    {name}" for name in names]
    if request.data:
        lines.append(f"  data: database, artifacts and backups in {settings.moonmind_data_dir}")
    return Text("\n".join(lines))


def _confirm() -> None:
    try:
        agreed = click.confirm("Remove this?", err=True)
    except click.Abort:
        raise CommandFailed("Nothing was removed.", hint="Add --yes to remove without confirmation.") from None
    if not agreed:
        raise CommandFailed("Nothing was removed.")


def _report(invocation: Invocation, found: Belongings, done: Purged, erased: list[str]) -> None:
    shown = Text(f"Removed {len(done.removed)} objects" + (f" and {len(erased)} files or folders." if erased else "."))
    invocation.print_result(Answer(found, done.removed, done.failed, erased), shown)
    if done.failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in done.failed.items())
        raise CommandFailed(
            f"{len(done.failed)} objects could not be removed: {reasons}",
            hint="Stop what uses them, then run the command again.",
            code=Exit.FAILED,
        )
