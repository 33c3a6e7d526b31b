"""`backup`: writes a backup of the appliance while it runs."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from moonmind_appliance.archive import private_file, refuse_existing, refused, work_folder
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.layout import Facts
from moonmind_appliance.cli.terminal import facts
from moonmind_appliance.errors import StoreError
from moonmind_appliance.runs.backup import Manifest, Progress, back_up
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.store.last_backup import record_backup
from moonmind_appliance.units import size


class Answer(msgspec.Struct, frozen=True):
    """The answer in JSON; size and SHA-256 are those of the archive."""

    file: str
    size_bytes: int
    sha256: str
    backup: Manifest


@click.command(
    cls=Command,
    examples=[
        ("The database: runs, texts, events, tokens", f"{PROGRAM} backup /srv/backups/$(date +%F).tar.gz"),
        ("Also the artifacts", f"{PROGRAM} backup --artifacts /srv/backups/all.tar.gz"),
        (
            "To another machine, without a file here",
            f"{PROGRAM} backup - | ssh backup@example.com 'cat > moonmind.tar.gz'",
        ),
    ],
)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--artifacts", is_flag=True, help="Include the artifacts: logs, and the files that runs produced.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.pass_obj
def backup(invocation: Invocation, file: Path, *, artifacts: bool, force: bool) -> Exit:
    """Write a backup of the appliance to a file; - is stdout.

    Works while `serve` runs. The backup is a gzipped tar file, readable only by its owner, with the state of one
    moment: the database and, on request, the artifacts. The hashes of API tokens are in it, so that callers continue
    to work after a restore. Logins are not in it: they are in Docker volumes, and using a copy can end the
    original. Settings are not in it either, as the env file contains the GitHub token. The file gets its name when it
    is complete: a backup that is stopped or fails leaves no file.
    """
    settings = invocation.settings(demanded=False)
    if str(file) == "-":
        return _to_stdout(invocation, settings, artifacts=artifacts)
    refuse_existing(file, replace=force)
    if not file.parent.is_dir():
        raise CommandFailed(f"The folder {file.parent} does not exist.", hint="Create it first.", code=Exit.USAGE)
    with work_folder(file.parent) as work:
        with private_file(file, work, replace=force) as sink, shown_progress(invocation.err) as progress:
            made = _back_up(settings, sink, work, progress, artifacts=artifacts)
        with file.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
    _record(settings, made)
    length = file.stat().st_size
    invocation.print_result(Answer(str(file), length, digest, made), _shown(file, length, made))
    return Exit.OK


def _to_stdout(invocation: Invocation, settings: Settings, *, artifacts: bool) -> Exit:
    with (
        archive_to_stdout(invocation) as sink,
        work_folder(settings.moonmind_data_dir) as work,
        shown_progress(invocation.err) as progress,
    ):
        made = _back_up(settings, sink, work, progress, artifacts=artifacts)
    _record(settings, made)
    invocation.err.print(_shown(Path("-"), None, made))
    return Exit.OK


@contextmanager
def archive_to_stdout(invocation: Invocation) -> Iterator[IO[bytes]]:
    """Stdout for an archive.

    Raises:
        UsageError: stdout is a terminal, or is for JSON.
        CommandFailed: the program that reads it ended.
        StoreError: it cannot be written.
    """
    if invocation.as_json:
        raise click.UsageError("With - the archive is written to stdout, where --json would be: use only one.")
    if sys.stdout.isatty():
        raise click.UsageError("The archive is not text: redirect stdout to a file or a program, or name a file.")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise CommandFailed("The program that reads stdout ended; the archive is not complete.") from None
    except OSError as error:
        raise refused(Path("stdout"), error) from error


def _record(settings: Settings, made: Manifest) -> None:
    # The backup is complete, also of a database that cannot be written.
    with suppress(StoreError):
        record_backup(settings.moonmind_data_dir / DATABASE_NAME, made.made_at)


def _back_up(settings: Settings, sink: IO[bytes], work: Path, progress: Progress, *, artifacts: bool) -> Manifest:
    return back_up(
        settings.moonmind_data_dir,
        sink,
        work,
        artifacts=artifacts,
        keep_free=settings.min_free_disk,
        progress=progress,
    )


@contextmanager
def shown_progress(console: Console) -> Iterator[Progress]:
    """Show the current step with a bar, on a terminal only."""
    with ExitStack() as stack:
        if not console.is_terminal:
            yield lambda *_: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        bars = stack.enter_context(Bars(*columns, console=console, transient=True))
        task = bars.add_task("", total=None)
        yield lambda step, done, total: bars.update(task, description=step, completed=done, total=total)


def contents(made: Manifest) -> list[tuple[str, str]]:
    """What a backup contains and what it does not, for people."""
    rows = made.rows
    included = made.artifacts
    artifacts = f"{included.files:,} files, {size(included.size_bytes)}" if included.included else "not in it"
    return [
        ("made", f"{made.made_at.astimezone():%Y-%m-%d %H:%M:%S %Z} by version {made.version}"),
        ("appliance", made.appliance_id),
        ("runs", f"{rows.get('runs', 0):,}, with texts, phases and {rows.get('events', 0):,} events"),
        ("API tokens", f"{rows.get('tokens', 0):,}, as hashes"),
        ("artifacts", artifacts),
        ("not in it", made.not_included),
    ]


def _shown(file: Path, length: int | None, made: Manifest) -> Facts:
    where = "stdout" if length is None else f"{file} ({size(length)})"
    return facts([("backup", where), *contents(made)])
